"""What is explained of each kind of AllenNLP's models."""

from typing import Any, Dict, List, Optional, Tuple, Type

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.models import Model
from torch import Tensor

from allennlp_layer_saliency.core.capture import recorded
from allennlp_layer_saliency.interpreters.targets.base import Choice, ClassName, ModelTarget
from allennlp_layer_saliency.models.allennlp import (
    language_model_head,
    text_fields,
    words_by_index,
)
from allennlp_layer_saliency.models.allennlp.coreference import SCORES, with_link_scores, with_spans
from allennlp_layer_saliency.models.huggingface import MULTI_LABEL, REGRESSION


class _FixedTarget(ModelTarget):
    """Of a model whose predictions alone are explained."""

    one_of_several = False
    of_tokens = True

    def _class_index(self, argument: str, name: ClassName) -> None:
        if name is not None:
            raise ConfigurationError(
                f"{argument} is for classifiers and language models; of {type(self.model).__name__} the "
                "predictions are explained"
            )


class TagTarget(_FixedTarget):
    """
    A tagger's predicted spans: the sum of the logits (of a CRF: the emissions) of the span's tags.
    """

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        return outputs["logits"]

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        namespace = str(self.model.label_namespace)
        index = self.model.vocab.get_token_to_index_vocabulary(namespace)
        return [
            [
                Choice(
                    positions=list(range(start, end + 1)),
                    classes=[index[tag] for tag in tags[start : end + 1]],
                    description={"label": label, "kind": self.kind, "span": [start, end]},
                )
                for label, start, end in tagged_spans(tags, "O" in index)
            ]
            for tags in (
                self.prediction(prediction, instance)["tags"]
                for prediction, instance in zip(predictions, instances)
            )
        ]

    def prediction(self, prediction: JsonDict, instance: Instance) -> JsonDict:
        (field,) = text_fields(instance).values()
        return {
            key: value[: len(field.tokens)] if isinstance(value, list) else value
            for key, value in prediction.items()
        }


class SpanTarget(_FixedTarget):
    """A reader's predicted answer: the logits of its start and of its end, one after the other."""

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        return torch.stack([outputs["span_start_logits"], outputs["span_end_logits"]], dim=1)

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        from allennlp_models.rc.models.utils import get_best_span

        start, end = self.logits(outputs).detach().float().unbind(1)
        return [
            [
                Choice(
                    positions=[which],
                    classes=[token],
                    description={
                        "label": ("start", "end")[which],
                        "kind": self.kind,
                        "position": token,
                        "answer": prediction.get("best_span_str"),
                    },
                )
                for which, token in enumerate(span)
            ]
            for span, prediction in zip(get_best_span(start, end).tolist(), predictions)
        ]


class LinkTarget(_FixedTarget):
    """
    Each predicted link of a mention to its antecedent: its score, that of "no antecedent" being 0. Its
    probability is the softmax over the mention's antecedents. Which mentions and antecedents are considered
    stays as it was predicted.
    """

    one_by_one = True
    added = SCORES

    def forward(self, tensors: Dict[str, Any]) -> Dict[str, Any]:
        return with_link_scores(self.model, tensors)

    def fixed(self, tensors: Dict[str, Any], outputs: Dict[str, Any]) -> Dict[str, Any]:
        return with_spans(tensors, outputs)

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        return outputs[SCORES]

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        chosen: List[List[Choice]] = []
        spans, considered, antecedents = (
            outputs[name].tolist() for name in ("top_spans", "antecedent_indices", "predicted_antecedents")
        )
        for i, instance in enumerate(instances):
            (field,) = text_fields(instance).values()
            words = [str(token) for token in field.tokens]
            chosen.append([])
            for mention, which in enumerate(antecedents[i]):
                if which < 0:
                    continue
                span, antecedent = spans[i][mention], spans[i][considered[i][mention][which]]
                both = (" ".join(words[start : end + 1]) for start, end in (span, antecedent))
                description = {"label": " → ".join(both), "kind": self.kind, "span": span}
                description["antecedent"] = antecedent
                # The first class is "no antecedent".
                chosen[i].append(Choice([mention], [1 + which], description))
        return chosen


# AllenNLP's language models give probabilities of their best guesses only.
_HEAD_LOGITS = "lm_head_logits"


class WordTarget(ModelTarget):
    """A masked language model's prediction at each mask."""

    one_of_several = False
    of_tokens = True
    added = _HEAD_LOGITS

    def forward(self, tensors: Dict[str, Any]) -> Dict[str, Any]:
        head = language_model_head(self.model)
        assert head is not None, "the class of the model has one"
        with recorded(head) as outputs:
            return {**self.model(**tensors), _HEAD_LOGITS: outputs[0][1]}

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        return outputs[_HEAD_LOGITS]

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        chosen = []
        for predicted, instance in zip(self.logits(outputs).argmax(-1).tolist(), instances):
            masks: Any = instance["mask_positions"]
            chosen.append(
                [self._chosen(i, predicted[i], position=mask.sequence_index) for i, mask in enumerate(masks)]
            )
        return chosen

    def labels(self) -> Dict[int, str]:
        return words_by_index(self.model)


class NextWordTarget(WordTarget):
    """A language model's predicted next word."""

    one_of_several = True
    of_tokens = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # NextTokenLM reads the last position of the batch, which may be padding.
        self.equal_lengths = True

    def logits(self, outputs: Dict[str, Any]) -> Tensor:
        return outputs[_HEAD_LOGITS].unsqueeze(1)

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        return ModelTarget.choose(self, outputs, predictions, instances)


class MultiLabelTarget(ModelTarget):
    """
    Each label that a classifier of any number of labels predicts, by itself; where it predicts none, the most
    probable one. A label's log-probability is that of its own logistic function.
    """

    one_of_several = False

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        if self.target_class is not None:
            return super().choose(outputs, predictions, instances)
        chosen = []
        for logits in self.logits(outputs)[:, 0]:
            predicted = (logits > 0).nonzero().flatten().tolist() or [int(logits.argmax())]
            chosen.append([self._chosen(0, index) for index in predicted])
        return chosen

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(logits)


class OutputTarget(ModelTarget):
    """Each output of a regression, or the one that `target_class` names."""

    one_of_several = False

    def __init__(self, model: Model, kind: str, *classes: ClassName) -> None:
        if kind != "logit":
            raise ConfigurationError(
                f'target {kind!r}: the model predicts a number and no class; use "logit", its output itself'
            )
        super().__init__(model, kind, *classes)

    def choose(
        self, outputs: Dict[str, Any], predictions: List[JsonDict], instances: List[Instance]
    ) -> List[List[Choice]]:
        if self.target_class is not None:
            return super().choose(outputs, predictions, instances)
        count = self.logits(outputs).size(-1)
        return [[self._chosen(0, index) for index in range(count)] for _ in instances]

    def _chosen(self, output: int, predicted: int, **description: Any) -> Choice:
        return super()._chosen(output, predicted, **{**description, "kind": "output"})


# By the `problem_type` of a `huggingface-classifier`.
_PROBLEMS = {MULTI_LABEL: MultiLabelTarget, REGRESSION: OutputTarget}

# By the name of a model's class or of one it inherits from.
_TARGETS = {
    "CoreferenceResolver": LinkTarget,
    "CrfTagger": TagTarget,
    "HuggingFaceTagger": TagTarget,
    "MaskedLanguageModel": WordTarget,
    "NextTokenLM": NextWordTarget,
    "SimpleTagger": TagTarget,
    "TransformerQA": SpanTarget,
}

# By where a model's class is defined: what has no single score, or no Hugging Face transformer.
REFUSED = {
    "allennlp.models.multitask": "several tasks at once",
    "allennlp_models.classification.models.transformer_classification_tt": "the transformer toolkit",
    "allennlp_models.generation": "text generation",
    "allennlp_models.mc": "multiple choice",
    "allennlp_models.structured_prediction": "semantic role labelling and parsing",
    "allennlp_models.vision": "images",
}


def target_type(model: Model) -> Type[ModelTarget]:
    """
    Which scores of models of this kind are explained.

    # Raises

    `ConfigurationError`
        If the model's kind is not supported.
    """
    for parent in type(model).__mro__:
        if parent.__name__ in _TARGETS:
            return _TARGETS[parent.__name__]
        for module, what in REFUSED.items():
            if parent.__module__.startswith(module):
                raise ConfigurationError(
                    f"{type(model).__name__} is not supported ({what}); classifiers, taggers, "
                    "transformer_qa, coref, masked_language_model and next_token_lm are"
                )
    return _PROBLEMS.get(getattr(model, "problem_type", ""), ModelTarget)


def tagged_spans(tags: List[str], outside: bool) -> List[Tuple[str, int, int]]:
    """
    The spans in a sequence of tags: label, first and last token.

    For BIO, IOB1, BIOUL, BMES and IO tags alike: a span ends where its label does, and where a prefix
    says so. Where no tag means "outside a span" (`outside` false), each token is a span of its own.
    """
    if not outside:
        return [(tag, i, i) for i, tag in enumerate(tags)]
    spans: List[Tuple[str, int, int]] = []
    open_label: Optional[str] = None
    for i, tag in enumerate(tags):
        prefix, label = _split_tag(tag)
        if label is None:
            open_label = None
            continue
        if label == open_label and prefix not in ("B", "U", "S"):
            spans[-1] = (label, spans[-1][1], i)
        else:
            spans.append((label, i, i))
        open_label = None if prefix in ("L", "E", "U", "S") else label
    return spans


def _split_tag(tag: str) -> Tuple[str, Optional[str]]:
    """A tag's prefix, if it has one, and its label; None for outside."""
    if tag == "O":
        return "", None
    if len(tag) > 1 and tag[1] == "-" and tag[0] in "BILUSME":
        return tag[0], tag[2:]
    return "", tag
