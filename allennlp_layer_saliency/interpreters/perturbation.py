"""A model's predictions for an input without some of its tokens."""

from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import numpy
import torch
from allennlp.common.checks import ConfigurationError
from allennlp.data import Instance, Token
from torch import Tensor

from allennlp_layer_saliency.core.capture import evaluation
from allennlp_layer_saliency.core.faithfulness import Perturbation, Prediction
from allennlp_layer_saliency.interpreters.targets import Choice, OutputTarget, target_type
from allennlp_layer_saliency.models.allennlp import (
    index,
    metrics_preserved,
    repeated,
    stand_in_id,
    text_fields,
    with_tokens,
)
from allennlp_layer_saliency.models.allennlp import predictions as readable_predictions
from allennlp_layer_saliency.models.text_reader import TextReader

KINDS = ("mask", "remove")


class Tokens(NamedTuple):
    """
    An input whose tokens can be taken out. The tokens of several texts are numbered one text after the other.

    # Parameters

    instance : `Instance`
        Indexed, without gold label.
    tokens : `List[int]`
        Those that can be: all but special tokens, and but words without a word piece.
    places : `Dict[int, Tuple[str, List[int]]]`
        Of each of them the field, and its word pieces' positions in the indexer's ids.
    """

    instance: Instance
    tokens: List[int]
    places: Dict[int, Tuple[str, List[int]]]


class Perturbed(NamedTuple):
    """
    # Parameters

    choices : `List[Choice]`
        What is explained: the model's predictions for the input as it is.
    predictions : `List[Dict[FrozenSet[int], Prediction]]`
        Of each choice, under each perturbation.
    """

    choices: List[Choice]
    predictions: List[Dict[Perturbation, Prediction]]


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
        If the kind is unknown or not for the model, the model predicts a number, or the tokenizer has no
        mask token.
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
        target = target_type(texts.model)
        if issubclass(target, OutputTarget):
            raise ConfigurationError(
                f"{type(texts.model).__name__} predicts a number; interpreters are compared by the "
                "probability of what is predicted"
            )
        if target.of_tokens and kind == "remove":
            raise ConfigurationError(
                f"perturbation: {type(texts.model).__name__} predicts something of its tokens, which move "
                'when others are removed; use "mask"'
            )
        if texts.reads_words and kind == "remove":
            raise ConfigurationError(
                'perturbation "remove" is for models that read word pieces; this one reads words: use "mask"'
            )
        self._texts = texts
        self._kind = kind
        self.target = target(texts.model, "log-probability", None, None)

    def tokens(self, instance: Instance) -> Tokens:
        """
        # Raises

        `ConfigurationError`
            If the model can't read the input.
        """
        (prepared,) = self._texts.prepare([instance]).instances
        names = list(text_fields(prepared))
        _, _, layout, inputs = self._texts.batch([prepared])
        special = inputs.special[0].tolist()
        token_of = range(len(special)) if inputs.words is None else inputs.words[0].tolist()
        places: Dict[int, Tuple[str, List[int]]] = {}
        for name, text in zip(names, layout.texts):
            # Of an instance alone, the rows of a folded text one after the other are the indexer's ids.
            folded = text.folding.places
            in_ids = range(text.mask.size(1)) if folded is None else folded[0].tolist()
            for position, place in enumerate(in_ids, start=text.first_position):
                token = token_of[position]
                if not special[position] and token >= 0:
                    places.setdefault(token, (name, []))[1].append(place)
        return Tokens(prepared, sorted(places), places)

    def predictions(self, tokens: Tokens, perturbations: Iterable[Perturbation]) -> Perturbed:
        """
        What the model predicts for the input as it is, and how probable that is under each of the
        perturbations; each runs once.

        A span of tags has the product of their probabilities; of a CRF, those of its emissions.

        # Raises

        `ConfigurationError`
            If the model's output is not as the target's, or has NaN.
        """
        tensors = self._texts.batch([tokens.instance]).tensors
        outputs = self._forward(tensors)
        readable = readable_predictions(self._texts.model, self.target.public(outputs), 1)
        (choices,) = self.target.choose(outputs, readable, [tokens.instance])
        fixed = self.target.fixed(tensors, outputs)
        distinct = list(dict.fromkeys(perturbations))
        by_choice: List[Dict[Perturbation, Prediction]] = [{} for _ in choices]
        if choices:
            if self._kind == "mask":
                found = self._masked(tokens, fixed, distinct, choices)
            else:
                found = self._removed(tokens, distinct, choices)
            for chosen, log_probabilities, labels in found:
                if not torch.isfinite(log_probabilities).all():
                    raise ConfigurationError("the model gives NaN or infinite probabilities")
                for of_choice, row in zip(by_choice, log_probabilities.tolist()):
                    of_choice.update(zip((distinct[i] for i in chosen), map(Prediction, row, labels)))
        return Perturbed(choices, by_choice)

    def class_logits(self, tokens: Tokens, masked: Perturbation) -> Tensor:
        """
        The logits of a model that chooses one class for an input, some of whose tokens are masked. Shape:
        (classes,).
        """
        tensors = self._texts.batch([tokens.instance]).tensors
        return self.target.logits(self._forward(self._with_masks(tokens, tensors, [masked])))[0, 0]

    def _masked(
        self,
        tokens: Tokens,
        tensors: Dict[str, Any],
        perturbations: List[Perturbation],
        choices: List[Choice],
    ) -> "_Found":
        def work(chosen: List[int]) -> "_Rows":
            batch = self._with_masks(tokens, tensors, [perturbations[i] for i in chosen])
            return self._predicted(batch, len(chosen), choices)

        names = text_fields(tokens.instance)
        length = sum(self._texts.indexed(tensors, name)["token_ids"].size(1) for name in names)
        return self._in_batches([length] * len(perturbations), work)

    def _with_masks(
        self, tokens: Tokens, tensors: Dict[str, Any], perturbations: List[Perturbation]
    ) -> Dict[str, Any]:
        """The input's tensors, once for each perturbation, with masks where tokens are taken out."""
        batch = repeated(tensors, len(perturbations))
        for name in text_fields(tokens.instance):
            indexed = self._texts.indexed(batch, name)
            ids = indexed["token_ids"]
            masked = numpy.zeros(ids.shape, dtype=bool)
            for row, taken in enumerate(perturbations):
                for token in taken:
                    field, places = tokens.places[token]
                    if field == name:
                        masked[row, places] = True
            indexed["token_ids"] = ids.masked_fill(torch.from_numpy(masked).to(ids.device), self._mask_id)
        return batch

    def _removed(self, tokens: Tokens, perturbations: List[Perturbation], choices: List[Choice]) -> "_Found":
        instances, lengths = [], []
        for taken in perturbations:
            fields, first, length = dict(tokens.instance.fields), 0, 0
            for name, field in text_fields(tokens.instance).items():
                left = [token for i, token in enumerate(field.tokens, start=first) if i not in taken]
                left = left or [self._nothing()]
                first += len(field.tokens)
                length += len(left)
                fields[name] = with_tokens(field, left)
            instance = Instance(fields)
            index(self._texts.model, self._texts.dataset_reader, instance)
            instances.append(instance)
            lengths.append(length)

        def work(chosen: List[int]) -> "_Rows":
            tensors = self._texts.batch([instances[i] for i in chosen]).tensors
            return self._predicted(tensors, len(chosen), choices)

        return self._in_batches(lengths, work)

    def _nothing(self) -> Token:
        """What is read of a text without any token: a model needs a position."""
        if self._mask_id is None:
            raise ConfigurationError(
                'perturbation "remove": no token is left, and the tokenizer has none that stands for no word'
            )
        (name,) = self._texts.tokenizer.convert_ids_to_tokens([self._mask_id])
        return Token(text=name, text_id=self._mask_id, type_id=0)

    def _in_batches(self, lengths: List[int], work: Callable[[List[int]], "_Rows"]) -> "_Found":
        for chosen, rows in self._texts.budget.run(lengths, work, self.target.equal_lengths):
            yield (chosen, *rows)

    def _predicted(self, tensors: Dict[str, Any], size: int, choices: List[Choice]) -> "_Rows":
        outputs = self._forward(tensors)
        logits = self.target.logits(outputs).double()
        log_probabilities = self.target.scores_of(logits, self.target.terms([choices], logits.device))
        labels = logits[:, 0].argmax(-1).tolist() if self.target.one_of_several else [None] * size
        return log_probabilities.cpu(), labels

    def _forward(self, tensors: Dict[str, Any]) -> Dict[str, Any]:
        model = self._texts.model
        with evaluation(model), metrics_preserved(model), torch.no_grad():
            return self._texts.run(lambda: self.target.forward(tensors))


# Log-probabilities, of shape (choices, perturbations), and the class predicted under each perturbation.
_Rows = Tuple[Tensor, List[Optional[int]]]

# Which of the perturbations, and theirs.
_Found = Iterator[Tuple[List[int], Tensor, List[Optional[int]]]]
