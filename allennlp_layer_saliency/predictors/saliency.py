import atexit
import logging
import sys
import traceback
from collections import Counter
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import DatasetReader, Instance
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.models import Model
from allennlp.predictors import Predictor

from allennlp_layer_saliency.data import Line, parsed
from allennlp_layer_saliency.interpreters import Explained, LayerInterpreter
from allennlp_layer_saliency.models.allennlp import (
    class_labels,
    gold_label,
    instances_of,
    mend_token_namespace,
    metadata_id,
    reader_special_ids,
)
from allennlp_layer_saliency.models.huggingface import MULTI_LABEL, REGRESSION
from allennlp_layer_saliency.models.text_reader import Prepared
from allennlp_layer_saliency.predictors.configuration import (
    inner_predictor,
    interpreter_params,
)
from allennlp_layer_saliency.predictors.others import explained_by_other
from allennlp_layer_saliency.predictors.records import error_record, non_finite, number_of, written

logger = logging.getLogger(__name__)


@Predictor.register("saliency")
class SaliencyPredictor(Predictor):
    """
    Predicts and explains: runs any registered `SaliencyInterpreter` under `allennlp predict`.

    Each output is the model's own prediction with a `saliency` entry, or, for an input that can't be
    parsed or explained, an object with its `line` and the `error`.

    Registered as a `Predictor` with name "saliency".

    # Parameters

    model : `Model`
    dataset_reader : `DatasetReader`
    interpreter : `Union[str, Dict[str, Any]]`
        A jsonnet or JSON file with the interpreter's configuration, that configuration itself, or a
        registered name.
    inner : `Union[str, Dict[str, Any]]`, optional
        The predictor that turns a line into an instance: its registered name, or an object with its
        `type` and arguments of its own. Left out: the model's default predictor.
    """

    def __init__(
        self,
        model: Model,
        dataset_reader: DatasetReader,
        interpreter: Union[str, Dict[str, Any]] = "decoded-layer-saliency",
        inner: Optional[Union[str, Dict[str, Any]]] = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise ConfigurationError(
                f"the saliency predictor has no argument {', '.join(sorted(unknown))}; it takes "
                "`interpreter` and `inner`"
            )
        super().__init__(model, dataset_reader)
        mend_token_namespace(model, dataset_reader)
        self.inner = inner_predictor(model, dataset_reader, inner)
        self.interpreter: SaliencyInterpreter = SaliencyInterpreter.from_params(
            interpreter_params(interpreter), predictor=self.inner
        )
        self._special_ids = reader_special_ids(dataset_reader)
        self._labels = class_labels(model)
        self._problem_type = getattr(model, "problem_type", None)
        self._foreign_label_seen = False
        self._lines = 0
        self._errors = 0
        self._unexpected: Counter = Counter()

    def load_line(self, line: str) -> JsonDict:
        self._lines += 1
        return parsed(line, self._lines)

    def dump_line(self, outputs: JsonDict) -> str:
        return written(outputs) + "\n"

    def predict_json(self, inputs: JsonDict) -> JsonDict:
        return self.predict_batch_json([inputs])[0]

    def predict_batch_json(self, inputs: List[JsonDict]) -> List[JsonDict]:
        return self._counted(self.outputs(inputs))

    def outputs(self, inputs: Sequence[JsonDict]) -> List[JsonDict]:
        """The output for each input, or its error record, counting nothing."""
        results: List[Optional[JsonDict]] = [None] * len(inputs)
        instances: Dict[int, List[Instance]] = {}
        for i, line in enumerate(inputs):
            try:
                if isinstance(line, Line) and line.error:
                    raise ConfigurationError(line.error)
                instances[i] = self._instances_of(line)
            except Exception as error:
                results[i] = self._failed(line.get("id"), number_of(line), error)
        explained = self.explain(list(instances.values()), [inputs[i] for i in instances])
        for i, outcome in zip(instances, explained):
            gold = self._gold_label(inputs[i].get("label"))
            known = {"id": inputs[i].get("id"), "gold_label": gold}
            results[i] = self._output(known, number_of(inputs[i]), outcome)
        return results  # type: ignore[return-value]

    def predict_instance(self, instance: Instance) -> JsonDict:
        return self.predict_batch_instance([instance])[0]

    def predict_batch_instance(self, instances: List[Instance]) -> List[JsonDict]:
        first = self._lines + 1
        self._lines += len(instances)
        return self._counted(self.instance_outputs(instances, range(first, self._lines + 1)))

    def instance_outputs(self, instances: Sequence[Instance], numbers: Sequence[int]) -> List[JsonDict]:
        """The output for each instance, or its error record with the number given, counting nothing."""
        results = []
        outcomes = self.explain([[instance] for instance in instances])
        for instance, number, outcome in zip(instances, numbers, outcomes):
            gold = self._gold_label(gold_label(instance))
            known = {"id": metadata_id(instance), "gold_label": gold}
            results.append(self._output(known, number, outcome))
        return results

    def _counted(self, results: List[JsonDict]) -> List[JsonDict]:
        errors = sum("error" in result and "line" in result for result in results)
        if errors and not self._errors:
            atexit.register(self._report_errors)
        self._errors += errors
        return results

    def _gold_label(self, label: Any) -> Any:
        """
        An input's label, if it is one of the model's; a list, or a number, if the model predicts such.

        An index is not translated: a data set may count its classes in another order than the vocabulary.
        """
        if self._problem_type == REGRESSION and isinstance(label, (int, float)):
            return label
        if self._problem_type == MULTI_LABEL and isinstance(label, list):
            names = [str(name) for name in label]
            if set(names) <= set(self._labels.values()):
                return names
        if str(label) in self._labels.values():
            return str(label)
        if label is not None and not self._foreign_label_seen:
            self._foreign_label_seen = True
            logger.warning(
                "the label %r is not one of the model's (%s); such labels are left out of the output",
                label,
                ", ".join(list(self._labels.values())[:20]) or "it has none",
            )
        return None

    def _instances_of(self, json_dict: JsonDict) -> List[Instance]:
        try:
            return instances_of(self.inner, json_dict)
        except KeyError as error:
            if error.args[0] in json_dict:
                raise
            raise ConfigurationError(
                f"the line has no field {error}; it has {', '.join(map(repr, json_dict)) or 'none'}"
                f"{_hint(json_dict)}"
            ) from error
        except (TypeError, ValueError) as error:
            # What some versions of tokenizers say of a text that they can't read.
            texts = {name: value for name, value in json_dict.items() if name != "id"}
            others = [
                f"{name!r} holds {type(value).__name__}"
                for name, value in texts.items()
                if not isinstance(value, str)
            ]
            if others:
                raise ConfigurationError(f"a text is wanted, but {', '.join(others)}") from error
            for name, text in texts.items():
                for character in text:
                    if "\ud800" <= character <= "\udfff":
                        raise ConfigurationError(
                            f"{name!r} holds {character!r}, half of a surrogate pair and not a character"
                        ) from error
            raise

    def explain(
        self,
        inputs: List[List[Instance]],
        lines: Optional[List[JsonDict]] = None,
    ) -> List[Union[Explained, Exception]]:
        """
        Explain all together if the interpreter can; one that fails does not fail the others.

        # Parameters

        inputs : `List[List[Instance]]`
            An input is an instance, or those of the windows that the inner predictor makes of it.
        lines : `List[JsonDict]`, optional
            What the inputs were read from, for interpreters that read it themselves.

        # Returns

        `List[Union[Explained, Exception]]`
            For each input its explanation, or why there is none.
        """
        if isinstance(self.interpreter, LayerInterpreter):
            return self._explain_with_ours(inputs, self.interpreter)
        outcomes: List[Union[Explained, Exception]] = []
        for (instance, *_), line in zip(inputs, lines or [{}] * len(inputs)):
            try:
                outcomes.append(
                    explained_by_other(self.interpreter, self.inner, instance, line, self._special_ids)
                )
            except Exception as error:
                outcomes.append(error)
        return outcomes

    def _explain_with_ours(
        self, inputs: List[List[Instance]], interpreter: LayerInterpreter
    ) -> List[Union[Explained, Exception]]:
        outcomes: Dict[int, Union[Explained, Exception]] = {}
        prepared: Dict[int, Prepared] = {}
        for i, instances in enumerate(inputs):
            try:
                prepared[i] = interpreter.texts.prepare(instances)
            except Exception as error:
                outcomes[i] = error
        try:
            outcomes.update(zip(prepared, interpreter.explain(list(prepared.values()))))
        except Exception:
            logger.debug("the batch failed; explaining its inputs one by one", exc_info=True)
            for i, alone in prepared.items():
                try:
                    (outcomes[i],) = interpreter.explain([alone])
                except Exception as error:
                    outcomes[i] = error
        return [outcomes[i] for i in range(len(inputs))]

    def _output(
        self, known: JsonDict, number: Optional[int], outcome: Union[Explained, Exception]
    ) -> JsonDict:
        """The line for an input; `known` has its `id` and `gold_label`, or None."""
        if isinstance(outcome, Exception):
            return self._failed(known["id"], number, outcome)
        own = {key: value for key, value in known.items() if value is not None}
        output = {**own, **outcome.prediction, "saliency": outcome.explanation}
        # Explanations by interpreters of ours have been looked at as tensors.
        path = non_finite({**own, **outcome.prediction} if outcome.finite else output)
        if path is not None:
            return self._failed(known["id"], number, ConfigurationError(f"{path} is NaN or infinite"))
        return output

    def _failed(self, id_: Any, number: Optional[int], error: Exception) -> JsonDict:
        message = " ".join(str(error).split())
        if not isinstance(error, ConfigurationError):
            message = f"{type(error).__name__}: {message}"
            self._note_unexpected(error)
        return error_record(id_, number, message)

    def _note_unexpected(self, error: Exception) -> None:
        """Log what is not the input's fault with its traceback, once for each place where it happens."""
        *_, last = traceback.extract_tb(error.__traceback__) or [None]
        place = (type(error), last and (last.filename, last.lineno))
        self._unexpected[place] += 1
        if self._unexpected[place] == 1:
            logger.error(
                "an unexpected error, not of the input's making; later ones like it are only counted",
                exc_info=error,
            )

    def _report_errors(self) -> None:
        """`allennlp predict` tells a predictor neither the end of its input nor the exit status."""
        unexpected = sum(self._unexpected.values())
        print(
            f"{self._errors} of {self._lines} inputs could not be explained; their output lines have an "
            '"error"' + (f" ({unexpected} of an unexpected kind, see the traceback)" if unexpected else ""),
            file=sys.stderr,
        )


# What AllenNLP's predictors read.
_FIELDS = {
    "textual_entailment": ("premise", "hypothesis"),
    "transformer_qa": ("question", "context"),
    "coreference_resolution": ("document",),
    "text_classifier": ("sentence",),
}


def fields_of(inner: Predictor) -> Tuple[str, ...]:
    """The names of the texts that one of AllenNLP's predictors reads from a line; of others, `sentence`."""
    known = set(_FIELDS) & set(Predictor.list_available())
    return next((_FIELDS[name] for name in known if Predictor.by_name(name) is type(inner)), ("sentence",))


def _hint(line: JsonDict) -> str:
    """Which predictor would take the line."""
    for name, fields in _FIELDS.items():
        if all(field in line for field in fields):
            return f'; "inner": "{name}" reads {" and ".join(fields)}'
    return ""


def saliency_predictors(
    model: Model,
    dataset_reader: DatasetReader,
    interpreters: Dict[str, Any],
    inner: Optional[Union[str, Dict[str, Any]]] = None,
) -> Dict[str, SaliencyPredictor]:
    """
    A predictor for each interpreter's configuration, by its name.

    # Raises

    `ConfigurationError`
        If one can't be built; the message has its name.
    """
    predictors = {}
    for name, config in interpreters.items():
        try:
            predictors[name] = SaliencyPredictor(model, dataset_reader, config, inner)
        except ConfigurationError as error:
            raise ConfigurationError(f"interpreters, {name}: {error}") from error
    return predictors
