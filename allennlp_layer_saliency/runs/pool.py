"""Shards explained by several processes: actors of Ray, on this machine or in a cluster."""

import logging
import os
import socket
from collections import deque
from contextlib import contextmanager
from typing import Any, Deque, Dict, Iterator, List, Optional, Sequence, Tuple

from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.runs.explainer import Explainer, Outputs, Settings, Shard
from allennlp_layer_saliency.runs.isolation import ATTEMPTS, ShardWork, Task

logger = logging.getLogger(__name__)

# Tasks that a worker is given at a time: so it does not wait for the next one. All else stays unread.
IN_FLIGHT = 2
# Bytes for what is on its way between processes; more would go to the disk.
OBJECT_STORE = 2**28


class Workers:
    """
    Actors that explain shards; one that dies is replaced.

    # Parameters

    settings : `Settings`
    count : `int`
    address : `str`, optional
        Of a cluster of Ray; left out, Ray runs on this machine as long as the shards last.
    gpus : `float`, optional (default = `0`)
        Of each worker.

    # Raises

    `ConfigurationError`
        If there is no Ray, or no cluster at the address.
    """

    def __init__(
        self, settings: Settings, count: int, address: Optional[str] = None, gpus: float = 0
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigurationError(
                "workers need Ray: pip install 'allennlp-layer-saliency[ray]'"
            ) from error
        self._ray = ray
        self._settings = settings
        self._count = count
        self._address = address
        self._gpus = gpus
        self._actor = ray.remote(
            num_cpus=settings.threads, num_gpus=gpus, max_restarts=0, max_task_retries=0
        )(_Actor)
        # By actor what it is working on, the first thing first; None is its loading.
        self._given: Dict[Any, Deque[Tuple[Any, Optional[Task]]]] = {}
        self._loading_deaths = 0

    def explain(self, shards: Iterator[Shard]) -> Iterator[Tuple[Shard, Outputs]]:
        """
        The shards with their outputs, as they are done.

        # Raises

        `ConfigurationError`
            If the model can't be loaded.
        """
        with self._connected():
            try:
                for _ in range(self._count):
                    self._start()
                yield from self._explain(shards)
            finally:
                for actor in self._given:
                    self._ray.kill(actor)
                self._given.clear()

    def _explain(self, shards: Iterator[Shard]) -> Iterator[Tuple[Shard, Outputs]]:
        names = list(self._settings.interpreters)
        waiting: Deque[Task] = deque()
        while True:
            for actor, given in self._given.items():
                while _takes_more(given):
                    if not waiting:
                        shard = next(shards, None)
                        if shard is None:
                            break
                        waiting.append(ShardWork(shard, names).begin())
                    if given and waiting[0].suspect:
                        break
                    task = waiting.popleft()
                    given.append((actor.explain.remote(task.inputs), task))
            first = {given[0][0]: actor for actor, given in self._given.items() if given}
            if not any(task for given in self._given.values() for _, task in given):
                if not waiting and len(first) < len(self._given):
                    return  # some worker is idle, and there was nothing to give it
            # A worker does one thing after the other, so its first is the one it is at.
            (ref,), _ = self._ray.wait(list(first), num_returns=1)
            actor = first[ref]
            try:
                result = self._ray.get(ref)
            except self._ray.exceptions.RayTaskError:
                raise
            except self._ray.exceptions.RayError as error:
                lost = self._given[actor][0][1]
                waiting.extend(self._replace(actor, error))
                # Its death may have been the last thing to be known of a shard.
                if lost is not None and lost.work.outputs is not None:
                    yield lost.work.shard, lost.work.outputs
                continue
            _, finished = self._given[actor].popleft()
            if finished is None:
                if result is not None:
                    raise ConfigurationError(result)
                self._loading_deaths = 0
                continue
            waiting.extend(finished.work.done(finished, result))
            if finished.work.outputs is not None:
                yield finished.work.shard, finished.work.outputs

    def _start(self) -> None:
        actor = self._actor.remote()
        cuda_device = 0 if self._gpus else -1  # Ray shows an actor its own GPUs only
        self._given[actor] = deque([(actor.load.remote(self._settings, cuda_device), None)])

    def _replace(self, actor: Any, error: Exception) -> List[Task]:
        """A new worker for a dead one; the tasks that it leaves."""
        given = self._given.pop(actor)
        self._ray.kill(actor)
        tasks = [task for _, task in given]
        logger.warning("a worker died (%s); another one takes its place", type(error).__name__)
        if tasks[0] is None:
            self._loading_deaths += 1
            if self._loading_deaths == ATTEMPTS:
                raise ConfigurationError(
                    f"{ATTEMPTS} workers in a row died while they loaded the model, as when there is not "
                    "enough memory for all of them; give fewer --workers"
                )
        self._start()
        # What stood behind the first task had not begun.
        behind = [task for task in tasks[1:] if task is not None]
        return [*(tasks[0].work.died(tasks[0]) if tasks[0] is not None else []), *behind]

    @contextmanager
    def _connected(self) -> Iterator[None]:
        if self._ray.is_initialized():
            yield
            return
        # Ray otherwise reports its use to its makers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": False}
        try:
            if self._address is None:
                self._ray.init(
                    address="local",
                    # Enough for all workers, so that none waits for ever.
                    num_cpus=max(1, self._count * self._settings.threads),
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE,
                    _node_ip_address="127.0.0.1",
                    # Else workers wait for whatever else the machine does.
                    _system_config={"worker_niceness": 0},
                    **quiet,
                )
            else:
                _check_answers(self._address)
                self._ray.init(address=self._address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            message = " ".join(str(error).split())
            raise ConfigurationError(f"Ray at {self._address or 'this machine'}: {message}") from error
        try:
            yield
        finally:
            self._ray.shutdown()


def _check_answers(address: str) -> None:
    """Ray itself asks for minutes, and logs each time; `auto` it looks up."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise ConnectionError(f"nothing answers there ({error})") from error


def _takes_more(given: Sequence[Tuple[Any, Optional[Task]]]) -> bool:
    """
    Whether a worker with these things to do is given another one: not while it loads, nor beside what a
    process has died of, lest a task pay for its neighbour.
    """
    if not given:
        return True
    return len(given) < IN_FLIGHT and all(task is not None and not task.suspect for _, task in given)


class _Actor:
    """What runs in a worker."""

    def load(self, settings: Settings, cuda_device: int) -> Optional[str]:
        """Why the model can't be loaded, if so."""
        try:
            self._explainer = Explainer(settings, cuda_device)
        except (ConfigurationError, OSError) as error:
            return str(error)
        return None

    def explain(self, inputs: Sequence[Any]) -> Outputs:
        return self._explainer.explain(inputs)
