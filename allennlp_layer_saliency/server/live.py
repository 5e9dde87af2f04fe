"""A model that explains texts as they are typed, and says what taking a word out does."""

import logging
from collections import OrderedDict
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import DatasetReader, Instance
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.models import Model

from allennlp_layer_saliency.display import units
from allennlp_layer_saliency.interpreters import LayerInterpreter
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions
from allennlp_layer_saliency.models.allennlp import (
    class_labels,
    instance_of,
    reader_special_ids,
    text_fields,
    tokens_and_offsets,
)
from allennlp_layer_saliency.models.text_reader import TextReader
from allennlp_layer_saliency.output_line import output_line
from allennlp_layer_saliency.predictors import SaliencyPredictor, fields_of
from allennlp_layer_saliency.predictors.configuration import inner_predictor, resolved
from allennlp_layer_saliency.predictors.others import numbers_from_last
from allennlp_layer_saliency.reports.explanations import Text, compact
from allennlp_layer_saliency.reports.page import to_html

# What is offered where the command is given nothing else; first what answers soonest.
INTERPRETERS: Dict[str, Any] = {
    "decoded, fast": {"type": "decoded-layer-saliency", "preset": "fast"},
    "decoded, balanced": {"type": "decoded-layer-saliency", "preset": "balanced"},
    "decoded, best": {"type": "decoded-layer-saliency", "preset": "best"},
    "not decoded": {"type": "layer-saliency"},
    "simple-gradient": {"type": "simple-gradient"},
    "integrated-gradient": {"type": "integrated-gradient"},
    "attention-rollout": {"type": "attention-rollout"},
}
# Interpreters that are kept, one for each choice of settings.
KEPT = 4

logger = logging.getLogger(__name__)


class Span(NamedTuple):
    """Characters of one of the input's texts."""

    text: int
    start: int
    end: int


class LiveModel:
    """
    # Parameters

    model : `Model`
    dataset_reader : `DatasetReader`
    interpreters : `Dict[str, Any]`
        By the names that the page offers: configurations, as for the `saliency` predictor.
    inner : `Union[str, Dict[str, Any]]`, optional

    # Attributes

    fields : `List[str]`
        The names of the texts that the model reads: one, or two of a pair.
    labels : `List[str]`
        The classes.
    layers : `int`
        The last one's number.
    first : `str`
        The interpreter that the page shows at first: the first that can be built.

    # Raises

    `ConfigurationError`
        If the model does not choose one class for a text or pair of texts, or no interpreter can be built.
    """

    def __init__(
        self, model: Model, dataset_reader: DatasetReader, interpreters: Dict[str, Any], inner: Any = None
    ) -> None:
        self._model = model
        self._dataset_reader = dataset_reader
        self._configurations = resolved(interpreters)
        self._inner_name = inner
        self._inner = inner_predictor(model, dataset_reader, inner)
        self._texts = TextReader(self._inner)
        self._built: OrderedDict[Any, SaliencyPredictor] = OrderedDict()
        self._perturbed = PerturbedPredictions(self._texts)
        if not self._perturbed.target.one_of_several:
            raise ConfigurationError(
                f"serve is for models that choose one class for a text; {type(model).__name__} does not"
            )
        self.labels = [label for _, label in sorted(class_labels(model).items())]
        self.layers = len(self._texts.hf_layers.taps) - 1
        self._special_ids = reader_special_ids(dataset_reader)
        self.fields = list(fields_of(self._inner))
        problems: List[str] = []
        for name in interpreters:
            try:
                self._predictor(name)
            except ConfigurationError as error:
                problems.append(str(error))
            else:
                self.first = name
                break
        else:
            raise ConfigurationError("; ".join(problems))
        for problem in problems:
            logger.warning("%s; %r is chosen at first", problem, self.first)

    @property
    def interpreters(self) -> Dict[str, bool]:
        """The names of the interpreters, and whether each has layers and classes to choose."""
        found = {}
        for name, params in self._configurations.items():
            registered: Any = SaliencyInterpreter.by_name(params["type"])
            found[name] = issubclass(registered, LayerInterpreter)
        return found

    def explain(
        self,
        texts: Dict[str, str],
        interpreter: str,
        layer: Optional[str] = None,
        target_class: Optional[str] = None,
        contrast_class: Optional[str] = None,
    ) -> JsonDict:
        """
        # Parameters

        texts : `Dict[str, str]`
            By the names of their fields.
        interpreter : `str`
            Of `interpreters`.
        layer : `str`, optional
            A number, or "all". Left out, the interpreter's own.
        target_class, contrast_class : `str`, optional
            Of `labels`.

        # Returns

        `JsonDict`
            `data`, as `compact` makes it, and `spans`, for each of the view's tokens its place among the
            texts and its characters, or None; `explained`, the class; and what `predict` returns.

        # Raises

        `ConfigurationError`
            If the text can't be read or explained.
        """
        line = self._line(texts, interpreter, layer, target_class, contrast_class)
        if "error" in line:
            raise ConfigurationError(line["error"])
        shown = output_line(line)
        instance = shown.instances.get("instance_1")
        if instance is None:
            raise ConfigurationError("there is nothing to explain in this text")
        in_order = instance.texts
        if numbers_from_last(self._predictor(interpreter).interpreter):
            in_order = in_order[::-1]
        first, texts_before = {}, 0
        for own in in_order:
            first[own.number] = texts_before
            texts_before += len(own.texts or [""])
        spans: List[Optional[Span]] = []
        for own in instance.texts:
            for unit in units(own):
                offsets = [own.offsets[token] for token in unit.tokens]
                known = [span for span in offsets if span is not None]
                if unit.segment is None or not known:
                    spans.append(None)
                else:
                    start, end = min(span[0] for span in known), max(span[1] for span in known)
                    spans.append(Span(first[own.number] + unit.segment, start, end))
        return {
            "data": compact({interpreter: [Text(1, line)]}),
            "spans": spans,
            **self.predict(texts),
            "explained": (instance.target or {}).get("label", shown.predicted),
        }

    def predict(self, texts: Dict[str, str], masked: Sequence[Span] = ()) -> JsonDict:
        """
        What the model says of a text, or of it with some words masked: `label`, and for each label
        `logits` and `probabilities`.

        # Raises

        `ConfigurationError`
            If the text can't be read, or a span is not within it.
        """
        tokens = self._perturbed.tokens(self._instance(texts))
        spans = self._token_spans(tokens.instance)
        taken = [token for token in tokens.tokens if any(_touch(spans[token], mask) for mask in masked)]
        if masked and not taken:
            raise ConfigurationError("there is no word to mask at these places of the text")
        logits = self._perturbed.class_logits(tokens, frozenset(taken)).double()
        if not logits.isfinite().all():
            raise ConfigurationError("the model gives NaN or infinite logits")
        return {
            "label": self.labels[int(logits.argmax())],
            "logits": dict(zip(self.labels, logits.tolist())),
            "probabilities": dict(zip(self.labels, logits.softmax(-1).tolist())),
        }

    def report(self, tries: Sequence[JsonDict], title: str) -> str:
        """A self-contained page of explanations; `tries` are arguments of `explain`."""
        lines: Dict[str, List[JsonDict]] = {}
        for number, arguments in enumerate(tries, start=1):
            line = {"id": number, **self._line(**arguments)}
            lines.setdefault(arguments["interpreter"], []).append(line)
        return to_html(lines, title)

    def _line(
        self,
        texts: Dict[str, str],
        interpreter: str,
        layer: Optional[str] = None,
        target_class: Optional[str] = None,
        contrast_class: Optional[str] = None,
    ) -> JsonDict:
        """An explanation as `allennlp predict` would write it, or its error record."""
        if interpreter not in self._configurations:
            raise ConfigurationError(
                f"no interpreter {interpreter!r}; there are {', '.join(self.interpreters)}"
            )
        settings: Dict[str, Any] = {"target_class": target_class, "contrast_class": contrast_class}
        if layer is not None:
            settings["layer"] = "all" if layer == "all" else _layer_number(layer)
        chosen = {name: value for name, value in settings.items() if value is not None}
        (line,) = self._predictor(interpreter, **chosen).outputs([dict(texts)])
        return line

    def _predictor(self, interpreter: str, **settings: Any) -> SaliencyPredictor:
        """The interpreter with other settings than its own; the latest few are kept."""
        key = (interpreter, *sorted(settings.items()))
        if key not in self._built:
            params = {**self._configurations[interpreter], **settings}
            try:
                built = SaliencyPredictor(self._model, self._dataset_reader, params, self._inner_name)
            except ConfigurationError as error:
                raise ConfigurationError(f"{interpreter}: {error}") from error
            self._built[key] = built
            while len(self._built) > KEPT:
                self._built.popitem(last=False)
        self._built.move_to_end(key)
        return self._built[key]

    def _instance(self, texts: Dict[str, str]) -> Instance:
        try:
            return instance_of(self._inner, dict(texts))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(" ".join(str(error).split())) from error

    def _token_spans(self, instance: Instance) -> List[Optional[Span]]:
        """Of each token, those of all texts one after the other, its characters."""
        found: List[Optional[Span]] = []
        first = 0
        for field in text_fields(instance).values():
            described = tokens_and_offsets(field, self._special_ids, 1)
            offsets = described["offsets_1"]
            segments = described.get("segments_1") or [0] * len(offsets)
            for span, segment in zip(offsets, segments):
                known = span is not None and segment is not None
                found.append(Span(first + segment, *span) if known else None)
            first += len(described.get("texts_1", [""]))
        return found


def _touch(span: Optional[Span], other: Span) -> bool:
    return span is not None and span.text == other.text and span.start < other.end and other.start < span.end


def _layer_number(layer: str) -> int:
    try:
        return int(layer)
    except ValueError:
        raise ConfigurationError(f'layer: a number or "all" is wanted; got {layer!r}') from None
