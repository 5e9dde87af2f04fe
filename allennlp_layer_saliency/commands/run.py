"""`allennlp saliency run`: explanations of a whole data set."""

import re
import sys
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from allennlp.common import Tqdm
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict, lazy_groups_of

from allennlp_layer_saliency.commands.experiment import Experiment, check_at_least_one
from allennlp_layer_saliency.files import pyarrow_parquet
from allennlp_layer_saliency.predictors.configuration import resolved
from allennlp_layer_saliency.runs.explainer import Explainer, Outputs, Settings, Shard
from allennlp_layer_saliency.runs.folder import FORMATS, RunFolder
from allennlp_layer_saliency.runs.pool import Workers


class RunExperiment(Experiment):
    """
    What a configuration of `allennlp saliency run` says.

    # Parameters

    interpreters : `Dict[str, Any]`
        Name -> an interpreter's configuration, registered name or file, as for the `saliency` predictor.
        A name is a folder's too: letters, digits, and inside it . _ and -.
    shard_size : `int`, optional (default = `256`)
        How many texts are explained together and written to one file: at most this many are lost by a fault.
    format : `str`, optional (default = `"jsonl"`)
        "jsonl" or "parquet".
    threads : `int`, optional (default = `1`)
        Of each process. On a CPU more processes are quicker than more threads.
    **kwargs
        As for `Experiment`. The seed is of interpreters that draw from the global generators, too.
    """

    def __init__(
        self,
        interpreters: Dict[str, Any],
        shard_size: int = 256,
        format: str = "jsonl",
        threads: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not interpreters:
            raise ConfigurationError("interpreters: at least one is wanted")
        for name in interpreters:
            if not re.fullmatch(r"[^\W_][\w.-]*", name, re.ASCII):
                raise ConfigurationError(
                    f"interpreters: {name!r} is to name a folder: letters, digits, and after the first of "
                    "them . _ and -"
                )
        check_at_least_one(shard_size=shard_size, threads=threads)
        if format not in FORMATS:
            raise ConfigurationError(f"format: one of {', '.join(FORMATS)} is wanted; got {format!r}")
        if format == "parquet":
            pyarrow_parquet()
        # A file's content, so that what has changed in it is noticed.
        self.interpreters = resolved(interpreters)
        self.shard_size = shard_size
        self.format = format
        self.threads = threads

    def known(self) -> JsonDict:
        self.settings.pop("format", None)  # the folder's own
        for key in ("interpreters", "shard_size", "threads"):
            self.settings[key] = getattr(self, key)
        return {**super().known(), "input": self.data.identity()}


def explain_data(
    config: str,
    output: str,
    limit: Optional[int] = None,
    cuda_device: int = -1,
    force: bool = False,
    shard_size: Optional[int] = None,
    workers: Optional[int] = None,
    address: Optional[str] = None,
    gpus_per_worker: float = 0,
    packages: Sequence[str] = (),
) -> int:
    """
    Explain all texts that OUT does not have yet.

    # Parameters

    config : `str`
        A jsonnet file.
    output : `str`
        A folder.
    limit, cuda_device, force, shard_size, workers, address, gpus_per_worker
        As the command's options of these names.
    packages : `Sequence[str]`
        Of `--include-package`.

    # Returns

    `int`
        The exit status: 1 if there is an input without an explanation, 130 if the run was interrupted.

    # Raises

    `ConfigurationError`
    `OSError`
        If OUT can't be written to.
    """
    if workers is None and (address is not None or gpus_per_worker):
        raise ConfigurationError("--address and --gpus-per-worker need --workers")
    if workers is not None and workers < 1:
        raise ConfigurationError(f"--workers must be at least 1; got {workers}")
    if workers is not None and cuda_device >= 0:
        raise ConfigurationError("give workers GPUs by --gpus-per-worker, not by --cuda-device")
    experiment = RunExperiment.read(config, limit=limit, shard_size=shard_size)
    known = experiment.known()
    with RunFolder(output, list(experiment.interpreters), experiment.format, known, force) as folder:
        try:
            if not folder.finished:
                wanted = Settings(
                    experiment.archive_file,
                    experiment.interpreters,
                    experiment.inner,
                    experiment.seed,
                    experiment.threads,
                    packages,
                )
                _explain(experiment, folder, wanted, cuda_device, workers, address, gpus_per_worker)
                folder.finish()
        except KeyboardInterrupt:
            print(
                f"\nallennlp saliency: stopped; {output} keeps the {folder.texts:,} texts that are done, and "
                "the same command, without --force, goes on",
                file=sys.stderr,
            )
            return 130
        if not folder.texts:
            raise ConfigurationError(f"data: {experiment.data.path} holds no text")
        print(f"{output}: {folder.texts:,} texts in {folder.shards:,} shard{'s' * (folder.shards != 1)}")
        errors = {name: count for name, count in folder.errors.items() if count}
    if errors:
        listed = ", ".join(f"{count:,} by {name}" for name, count in errors.items())
        print(
            f'allennlp saliency: could not be explained: {listed}; their lines have an "error"',
            file=sys.stderr,
        )
    return 1 if errors else 0


def _explain(
    experiment: RunExperiment,
    folder: RunFolder,
    settings: Settings,
    cuda_device: int,
    workers: Optional[int],
    address: Optional[str],
    gpus: float,
) -> None:
    inputs = experiment.data.inputs(experiment.seed, experiment.limit)
    shards = (
        Shard(number, group)
        for number, group in enumerate(lazy_groups_of(inputs, experiment.shard_size))
        if number not in folder
    )
    if workers is None:
        explained = _in_process(Explainer(settings, cuda_device), shards)
    else:
        explained = Workers(settings, workers, address, gpus).explain(shards)
    total = experiment.data.estimate(experiment.limit)
    with Tqdm.tqdm(desc="run", unit=" texts", total=total, initial=folder.texts) as bar:
        for shard, outputs in explained:
            folder.add(shard, outputs)
            bar.update(len(shard.inputs))


def _in_process(explainer: Explainer, shards: Iterator[Shard]) -> Iterator[Tuple[Shard, Outputs]]:
    for shard in shards:
        yield shard, explainer.explain(shard.inputs)
