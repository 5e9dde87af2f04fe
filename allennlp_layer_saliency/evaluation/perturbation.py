"""A classifier's predictions for an input without some of its tokens."""

from typing import Any, Callable, Dict, Iterable, List, NamedTuple

import numpy
import torch
from allennlp.common.checks import ConfigurationError
from allennlp.data import Instance, Token

from allennlp_layer_saliency.core.capture import evaluation
from allennlp_layer_saliency.core.faithfulness import Perturbation
from allennlp_layer_saliency.interpreters.targets import (
    ModelTarget,
    MultiLabelTarget,
    OutputTarget,
    target_type,
)
from allennlp_layer_saliency.models.allennlp import (
    index,
    metrics_preserved,
    repeated,
    stand_in_id,
    text_fields,
    with_tokens,
)
from allennlp_layer_saliency.models.text_reader import TextReader

KINDS = ("mask", "remove")


class Tokens(NamedTuple):
    """
    An input whose tokens can be taken out.

    # Parameters

    instance : `Instance`
        Indexed, without gold label.
    tokens : `List[int]`
        Those that can be: all but special tokens, and but words without a word piece.
    pieces : `Dict[int, List[int]]`
        Of each of them its word pieces' positions in the indexer's ids.
    """

    instance: Instance
    tokens: List[int]
    pieces: Dict[int, List[int]]


class PerturbedPredictions:
    """
    # Parameters

    texts : `TextReader`
    kind : `str`
        "mask": each word piece of a token that is taken out becomes the mask token. "remove": the token
        is left out, and the others move up; where no special token stays, one that stands for no word is
        all that the model reads. Both are done to ids; nothing is tokenised again.

    # Raises

    `ConfigurationError`
        If the kind is unknown, or the tokenizer has no mask token.
    """

    def __init__(self, texts: TextReader, kind: str = "mask") -> None:
        if kind not in KINDS:
            raise ConfigurationError(f"perturbation must be one of {KINDS}; got {kind!r}")
        # Where a text ends, decoders tell by the token that pads: it may not stand within one.
        pad = texts.transformer.config.pad_token_id if kind == "mask" else None
        self._mask_id: Any = stand_in_id(texts.tokenizer, excluded=pad)
        if kind == "mask" and self._mask_id is None:
            raise ConfigurationError(
                "perturbation: the classifier's tokenizer has no mask token, and no unknown or end token, "
                'other than the one that pads, that could stand in for it; use "remove"'
            )
        predicted = {MultiLabelTarget: "any number of labels", OutputTarget: "a number"}
        target = target_type(texts.model)
        if target in predicted:
            raise ConfigurationError(
                f"{type(texts.model).__name__} predicts {predicted[target]}; interpreters are compared on "
                "classifiers that choose one of several classes"
            )
        self._texts = texts
        self._kind = kind
        self.target = ModelTarget(texts.model, "logit", None, None)

    def tokens(self, instance: Instance) -> Tokens:
        """
        # Raises

        `ConfigurationError`
            If the input is not one text that the model can read.
        """
        (prepared,) = self._texts.prepare([instance]).instances
        if len(text_fields(prepared)) != 1:
            raise ConfigurationError(
                f"inputs of one text can be compared; this one has {len(text_fields(prepared))}"
            )
        _, _, layout, inputs = self._texts.batch([prepared])
        places = layout.texts[0].folding.places
        pieces: Dict[int, List[int]] = {}
        for position, special in enumerate(inputs.special[0].tolist()):
            token = position if inputs.words is None else int(inputs.words[0, position])
            if not special and token >= 0:
                # Of a text alone, the rows of a folded text one after the other are the indexer's ids.
                place = position if places is None else int(places[0, position])
                pieces.setdefault(token, []).append(place)
        if inputs.words is not None and self._kind == "remove":
            raise ConfigurationError(
                'perturbation "remove" is for models that read word pieces; this one reads words: use '
                '"mask"'
            )
        return Tokens(prepared, sorted(pieces), pieces)

    def log_probabilities(
        self, tokens: Tokens, perturbations: Iterable[Perturbation]
    ) -> Dict[Perturbation, numpy.ndarray]:
        """
        The log-probability of each class under each of the perturbations; each runs once.

        # Returns

        `Dict[FrozenSet[int], numpy.ndarray]`
            Shape of each: (classes,), float64.

        # Raises

        `ConfigurationError`
            If the model is not a classifier of texts, or gives NaN.
        """
        distinct = list(dict.fromkeys(perturbations))
        perturbed = self._masked if self._kind == "mask" else self._removed
        found = perturbed(tokens, distinct)
        for log_probabilities in found.values():
            if not numpy.isfinite(log_probabilities).all():
                raise ConfigurationError("the model gives NaN or infinite probabilities")
        return found

    def _masked(self, tokens: Tokens, perturbations: List[Perturbation]) -> Dict[Perturbation, numpy.ndarray]:
        tensors = self._texts.batch([tokens.instance]).tensors
        (name,) = text_fields(tokens.instance)
        ids = self._texts.indexed(tensors, name)["token_ids"]

        def work(chosen: List[int]) -> numpy.ndarray:
            masked = numpy.zeros((len(chosen), ids.size(1)), dtype=bool)
            for row, i in zip(masked, chosen):
                row[[place for token in perturbations[i] for place in tokens.pieces[token]]] = True
            batch = repeated(tensors, len(chosen))
            indexed = self._texts.indexed(batch, name)
            indexed["token_ids"] = indexed["token_ids"].masked_fill(
                torch.from_numpy(masked).to(ids.device), self._mask_id
            )
            return self._predicted(batch)

        return self._in_batches(perturbations, [ids.size(1)] * len(perturbations), work)

    def _removed(
        self, tokens: Tokens, perturbations: List[Perturbation]
    ) -> Dict[Perturbation, numpy.ndarray]:
        ((name, field),) = text_fields(tokens.instance).items()
        instances, lengths = [], []
        for taken in perturbations:
            left = [token for i, token in enumerate(field.tokens) if i not in taken]
            left = left or [self._nothing()]
            lengths.append(len(left))
            instance = Instance({**tokens.instance.fields, name: with_tokens(field, left)})
            index(self._texts.model, self._texts.dataset_reader, instance)
            instances.append(instance)

        def work(chosen: List[int]) -> numpy.ndarray:
            return self._predicted(self._texts.batch([instances[i] for i in chosen]).tensors)

        return self._in_batches(perturbations, lengths, work)

    def _nothing(self) -> Token:
        """What is read of a text without any token: a model needs a position."""
        if self._mask_id is None:
            raise ConfigurationError(
                'perturbation "remove": no token is left, and the tokenizer has none that stands for no word'
            )
        (name,) = self._texts.tokenizer.convert_ids_to_tokens([self._mask_id])
        return Token(text=name, text_id=self._mask_id, type_id=0)

    def _in_batches(
        self,
        perturbations: List[Perturbation],
        lengths: List[int],
        work: Callable[[List[int]], numpy.ndarray],
    ) -> Dict[Perturbation, numpy.ndarray]:
        found: Dict[Perturbation, numpy.ndarray] = {}
        for chosen, predicted in self._texts.budget.run(lengths, work, self.target.equal_lengths):
            found.update((perturbations[i], row) for i, row in zip(chosen, predicted))
        return found

    def _predicted(self, tensors: Dict[str, Any]) -> numpy.ndarray:
        """Shape: (batch, classes)."""
        model = self._texts.model
        with evaluation(model), metrics_preserved(model), torch.no_grad():
            logits = self.target.logits(model(**tensors))[:, 0]
        return torch.log_softmax(logits.double(), dim=-1).cpu().numpy()
