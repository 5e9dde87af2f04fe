"""What explains inputs: one archive with its interpreters, in whatever process."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import torch
from allennlp.common.plugins import import_plugins
from allennlp.common.util import JsonDict, import_module_and_submodules
from allennlp.data import Instance

from allennlp_layer_saliency.core.paths import global_numbers_of
from allennlp_layer_saliency.data import Input
from allennlp_layer_saliency.interpreters import LayerInterpreter
from allennlp_layer_saliency.models.allennlp import metadata_id
from allennlp_layer_saliency.predictors import SaliencyPredictor
from allennlp_layer_saliency.predictors.opening import open_model
from allennlp_layer_saliency.predictors.records import error_record, written
from allennlp_layer_saliency.predictors.saliency import saliency_predictors


class Output(NamedTuple):
    """A line of JSON for an input, and whether it is an error record."""

    line: str
    is_error: bool


class Shard(NamedTuple):
    """Consecutive inputs, explained together. An output depends on them, not on the process that makes it."""

    number: int
    inputs: List[Input]


# By interpreter, for each input of a shard.
Outputs = Dict[str, List[Output]]


class Settings(NamedTuple):
    """
    What a process needs to know before it can explain inputs.

    # Parameters

    archive_file : `str`
    interpreters : `Dict[str, JsonDict]`
        Configurations by name.
    inner : `Union[str, Dict[str, Any]]`, optional
        As for the `saliency` predictor.
    seed : `int`
        Of interpreters that draw from the global generators.
    threads : `int`
        Of the process; sums of floating-point numbers depend on it.
    packages : `Sequence[str]`
        To be imported first, as `--include-package` has them.
    """

    archive_file: str
    interpreters: Dict[str, JsonDict]
    inner: Optional[Union[str, Dict[str, Any]]]
    seed: int
    threads: int
    packages: Sequence[str] = ()


class Explainer:
    """
    Loads everything once, then explains inputs.

    # Parameters

    settings : `Settings`
    cuda_device : `int`
        -1 is the CPU.

    # Raises

    `ConfigurationError`
    """

    def __init__(self, settings: Settings, cuda_device: int) -> None:
        import_plugins()
        for package in settings.packages:
            import_module_and_submodules(package)
        torch.set_num_threads(settings.threads)
        model, reader = open_model(settings.archive_file, cuda_device)
        self._seed = settings.seed
        self._predictors = saliency_predictors(model, reader, settings.interpreters, settings.inner)

    def explain(self, inputs: Sequence[Input]) -> Outputs:
        """The outputs in the inputs' order; an input that can't be explained has an error record."""
        return {
            name: [
                Output(predictor.dump_line(output), "error" in output)
                for output in self._explained(predictor, inputs)
            ]
            for name, predictor in self._predictors.items()
        }

    def _explained(self, predictor: SaliencyPredictor, inputs: Sequence[Input]) -> List[JsonDict]:
        if isinstance(predictor.interpreter, LayerInterpreter):
            return _outputs(predictor, inputs)
        outputs: List[JsonDict] = []
        for item in inputs:
            # Some of AllenNLP's draw from the global generators.
            with global_numbers_of(self._seed, item.number):
                outputs.extend(_outputs(predictor, [item]))
        return outputs


def _outputs(predictor: SaliencyPredictor, inputs: Sequence[Input]) -> List[JsonDict]:
    # A file gives instances or lines, never both.
    read: List[Any] = [item.read() for item in inputs]
    if read and isinstance(read[0], Instance):
        return predictor.instance_outputs(read, [item.place for item in inputs])
    return predictor.outputs(read)


def failed(item: Input, message: str) -> Output:
    """The error record of an input that no process could explain."""
    line = item.read()
    id_ = metadata_id(line) if isinstance(line, Instance) else line.get("id")
    return Output(written(error_record(id_, item.place, message)) + "\n", True)
