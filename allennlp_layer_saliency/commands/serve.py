"""`allennlp saliency serve`: a live page."""

import ipaddress
import os
import socket
from contextlib import suppress
from typing import Any, List, Optional

from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.files import check_is_file, read_params
from allennlp_layer_saliency.predictors.opening import open_model

# The port that is taken where none is given.
PORT = 8791


def serve(
    archive: str,
    port: int = PORT,
    host: str = "127.0.0.1",
    names: Optional[List[str]] = None,
    interpreters: Optional[str] = None,
    inner: Optional[str] = None,
    cuda_device: int = -1,
) -> None:
    """
    Serve a page on which texts are explained as they are typed, until it is interrupted.

    # Parameters

    archive : `str`
        An archive, or the folder of a Hugging Face classifier.
    port : `int`
        0 for any that is free.
    host : `str`
        The address to listen on. Whoever reaches it can use the model.
    names : `List[str]`, optional
        Further names under which the page may be asked for.
    interpreters : `str`, optional
        A jsonnet file: an object of configurations by the names that the page offers. Left out: presets of
        ours, and AllenNLP's.
    inner : `str`, optional
        The predictor that reads a text, as for the `saliency` predictor.
    cuda_device : `int`
        -1 is the CPU.

    # Raises

    `ConfigurationError`
        If the model can't be served, or the address is taken.
    """
    try:
        import uvicorn

        from allennlp_layer_saliency.server.app import make_app
        from allennlp_layer_saliency.server.live import INTERPRETERS, LiveModel
    except ImportError as error:
        raise ConfigurationError(
            f"a live page needs {error.name}: pip install 'allennlp-layer-saliency[serve]'"
        ) from error
    if not 0 <= port < 2**16:
        raise ConfigurationError(f"--port must be 0 to 65535; got {port}")
    if not os.path.exists(archive):
        raise ConfigurationError(f"no archive at {archive}")
    live = LiveModel(*open_model(archive, cuda_device), _read(interpreters) or INTERPRETERS, inner)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise ConfigurationError(
            f"{_in_address(host)}:{port} can't be listened on ({error.strerror}); give another --port"
        ) from error
    with listening:
        port = listening.getsockname()[1]
        known = [f"{_in_address(name)}:{port}" for name in (host, *(names or []))]
        if _is_loopback(host):
            known += [f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"]
        title = os.path.basename(os.path.abspath(archive))
        config = uvicorn.Config(
            make_app(live, title, known),
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=2,
            lifespan="on",
        )
        print(f"http://{known[0]}/ (Ctrl-C ends it)", flush=True)
        # Newer versions of uvicorn raise it once more when they are done.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listening])
    print("ended")


def _read(interpreters: Optional[str]) -> Any:
    if interpreters is None:
        return None
    check_is_file(interpreters, "--interpreters")
    found = read_params(interpreters, "--interpreters").as_dict(quiet=True)
    if not found:
        raise ConfigurationError(f"--interpreters: {interpreters} names none")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
