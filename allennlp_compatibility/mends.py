"""
Each place of AllenNLP 2.10.1 that later versions of its dependencies break, and what mends it.

A mend is active only where the installed versions need it, and from the import of the module that it is for.
No file of AllenNLP is changed.
"""

import functools
import re
from contextlib import ExitStack, contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Callable, ContextManager, Dict, Iterator, List, NamedTuple, Optional

from allennlp_compatibility.quiet import around_import, around_plugins, is_wanted


class Mend(NamedTuple):
    """
    # Parameters

    module : `str`
        The module of AllenNLP that is mended.
    needed : `Callable[[], bool]`
        Whether the installed versions need it.
    around : `Callable[[ModuleType], ContextManager[None]]`
        Is entered before the module runs, and left after it.
    """

    module: str
    needed: Callable[[], bool]
    around: Callable[[ModuleType], ContextManager[None]]


@contextmanager
def _lent(owner: ModuleType, **names: Any) -> Iterator[None]:
    """Names that a library has lost, for as long as a module that imports them runs."""
    lost = {name: value for name, value in names.items() if not hasattr(owner, name)}
    for name, value in lost.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name in lost:
            delattr(owner, name)


def _lacks_hf_folder() -> bool:
    import huggingface_hub

    return not hasattr(huggingface_hub, "HfFolder")


@contextmanager
def _hub_names(_: ModuleType) -> Iterator[None]:
    """`push_to_hf` imports them; `allennlp push-to-hf` itself is what no longer works."""
    import huggingface_hub

    class HfFolder:
        get_token = staticmethod(huggingface_hub.get_token)

    class Repository:
        def __init__(self, *_: Any, **__: Any) -> None:
            raise RuntimeError(
                f"huggingface-hub {huggingface_hub.__version__} has no Repository, with which AllenNLP "
                "2.10.1 pushes; upload the archive with `hf upload`"
            )

    with _lent(huggingface_hub, HfFolder=HfFolder, Repository=Repository):
        yield


def _lacks_adamw() -> bool:
    import transformers

    return not hasattr(transformers, "AdamW")


@contextmanager
def _adamw(_: ModuleType) -> Iterator[None]:
    """The optimizer "huggingface_adamw" is a subclass of it."""
    import transformers

    from allennlp_compatibility.adamw import AdamW

    with _lent(transformers, AdamW=AdamW):
        yield


def _transformers_from(major: int, minor: int) -> Callable[[], bool]:
    def is_later() -> bool:
        found = [int(number) for number in version("transformers").split(".")[:2]]
        return found >= [major, minor]

    return is_later


@contextmanager
def _loading_of_tokenizers(module: ModuleType) -> Iterator[None]:
    """They are asked for with `add_special_tokens`, which is refused; it counts when they are called only."""
    yield
    own = module.get_tokenizer

    @functools.wraps(own)
    def get_tokenizer(model_name: str, **kwargs: Any) -> Any:
        kwargs.pop("add_special_tokens", None)
        return own(model_name, **kwargs)

    module.get_tokenizer = get_tokenizer  # type: ignore[attr-defined]


@contextmanager
def _loading_in_float32(module: ModuleType) -> Iterator[None]:
    """Models load in the type that their file has; AllenNLP knows float32 only."""
    yield
    own = module.get

    @functools.wraps(own)
    def get(*args: Any, **kwargs: Any) -> Any:
        import torch

        return own(*args, **{"dtype": torch.float32, **kwargs})

    module.get = get  # type: ignore[attr-defined]


def _lacks(method: str) -> Callable[[], bool]:
    def is_lost() -> bool:
        from transformers import PreTrainedTokenizerFast

        return not hasattr(PreTrainedTokenizerFast, method)

    return is_lost


@contextmanager
def _encode_plus(_: ModuleType) -> Iterator[None]:
    """A tokenizer's method of another name for calling it."""
    from transformers import PreTrainedTokenizerBase

    def encode_plus(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self(*args, **kwargs)

    PreTrainedTokenizerBase.encode_plus = encode_plus
    yield


@contextmanager
def _build_inputs(_: ModuleType) -> Iterator[None]:
    """With it the indexer puts special tokens around each segment of a long text."""
    from transformers import PreTrainedTokenizerFast

    def build_inputs_with_special_tokens(self: Any, ids: List[int], _: Any = None) -> List[int]:
        # Any piece that is no special token will do; the whole vocabulary takes 200 times as long.
        for piece in filter(None, map(self.convert_ids_to_tokens, range(len(self)))):
            encoded = self(piece, return_special_tokens_mask=True)
            if 0 in encoded["special_tokens_mask"]:
                special = encoded["special_tokens_mask"]
                before = special.index(0)
                after = len(special) - special[::-1].index(0)
                return [*encoded["input_ids"][:before], *ids, *encoded["input_ids"][after:]]
        raise ValueError("the tokenizer knows no word piece")

    PreTrainedTokenizerFast.build_inputs_with_special_tokens = build_inputs_with_special_tokens
    yield


_CAUSAL_MASK = re.compile(r"\.(attn|attention)\.(bias|masked_bias)$")


@contextmanager
def _computed_buffers(module: ModuleType) -> Iterator[None]:
    """AllenNLP refuses archives of before position numbers and causal masks were computed: they hold them."""
    yield
    own = module.Model.load_state_dict

    @functools.wraps(own)
    def load_state_dict(self: Any, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        computed = {
            f"{name}.{buffer}"
            for name, part in self.named_modules()
            for buffer in part._non_persistent_buffers_set
        }
        # Decoders' causal masks are not even buffers any more.
        known = self.state_dict().keys()
        computed.update(name for name in state_dict if name not in known and _CAUSAL_MASK.search(name))
        kept = type(state_dict)((name, weight) for name, weight in state_dict.items() if name not in computed)
        if hasattr(state_dict, "_metadata"):
            kept._metadata = state_dict._metadata
        return own(self, kept, *args, **kwargs)

    module.Model.load_state_dict = load_state_dict


MENDS: Dict[str, Mend] = {
    "hub names": Mend("allennlp.common.push_to_hf", _lacks_hf_folder, _hub_names),
    "AdamW": Mend("allennlp.training.optimizers", _lacks_adamw, _adamw),
    "loading of tokenizers": Mend(
        "allennlp.common.cached_transformers", _transformers_from(4, 44), _loading_of_tokenizers
    ),
    "loading in float32": Mend(
        "allennlp.common.cached_transformers", _transformers_from(5, 0), _loading_in_float32
    ),
    "computed buffers": Mend("allennlp.models.model", _transformers_from(4, 31), _computed_buffers),
    "encode_plus": Mend(
        "allennlp.data.tokenizers.pretrained_transformer_tokenizer",
        _lacks("encode_plus"),
        _encode_plus,
    ),
    "build_inputs_with_special_tokens": Mend(
        "allennlp.data.token_indexers.pretrained_transformer_indexer",
        _lacks("build_inputs_with_special_tokens"),
        _build_inputs,
    ),
}


# No mends: they keep back what can't be helped. See `allennlp_compatibility.quiet`.
QUIET = [
    Mend("allennlp.common.file_utils", is_wanted, around_import),
    Mend("allennlp.common.plugins", is_wanted, around_plugins),
]


def mended(name: str) -> Optional[ModuleSpec]:
    """How a module of AllenNLP is loaded, with what it needs around it; None if it needs nothing."""
    mends = [mend for mend in [*MENDS.values(), *QUIET] if mend.module == name and mend.needed()]
    spec = find_spec(name) if mends else None
    if spec is None or spec.loader is None:
        return None
    load = spec.loader.exec_module

    def exec_module(module: ModuleType) -> None:
        with ExitStack() as stack:
            for mend in mends:
                stack.enter_context(mend.around(module))
            load(module)

    spec.loader.exec_module = exec_module  # type: ignore[method-assign]
    return spec
