"""Explanations of a batch as the JSON that `saliency_interpret_from_json` returns."""

from typing import Any, Dict, List, Optional, Set

import torch
from allennlp.common.util import JsonDict
from transformers import PreTrainedTokenizerBase

from allennlp_layer_saliency.core.explanation import LayerExplanation
from allennlp_layer_saliency.core.scoring import normalised
from allennlp_layer_saliency.models.allennlp import text_fields, tokens_and_offsets
from allennlp_layer_saliency.models.text_reader import Batch


class OutputTexts:
    """
    The texts of a batch, to cut what the core computed on padded batches down to size.

    Texts are numbered from 1, in the order of the instances' fields.
    """

    def __init__(
        self,
        batch: Batch,
        special_ids: Set[int],
        tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        self._fields = [list(text_fields(instance).values()) for instance in batch.instances]
        self._layout = batch.layout.texts
        self._lengths = [text.mask.sum(1).tolist() for text in batch.layout.texts]
        self._token_ids = batch.inputs.token_ids.tolist()
        self._words = None if batch.inputs.words is None else batch.inputs.words.tolist()
        self._special_ids = special_ids
        self._tokenizer = tokenizer
        # Asked once: the length of some tokenizers takes milliseconds.
        self._vocabulary_size = len(tokenizer)

    def tokens(self, instance: int) -> JsonDict:
        """The tokens of an instance's texts, and the word pieces of words."""
        described: JsonDict = {}
        for number, field in enumerate(self._fields[instance], start=1):
            described.update(tokens_and_offsets(field, self._special_ids, number))
            if self._words is not None:
                first_token = self._layout[number - 1].first_token
                positions = self.positions(instance, number)
                pieces = self._tokenizer.convert_ids_to_tokens(self._token_ids[instance][positions])
                described[f"pieces_{number}"] = [
                    {"piece": piece, "token": None if word < 0 else word - first_token}
                    for piece, word in zip(pieces, self._words[instance][positions])
                ]
        return described

    def numbers(self) -> range:
        """The numbers of an instance's texts."""
        return range(1, len(self._layout) + 1)

    def positions(self, instance: int, number: int) -> slice:
        """A text's positions among all of the instance."""
        first = self._layout[number - 1].first_position
        return slice(first, first + self._lengths[number - 1][instance])

    def scored(self, instance: int, number: int) -> slice:
        """A text's tokens among all of the instance."""
        first = self._layout[number - 1].first_token
        return slice(first, first + len(self._fields[instance][number - 1].tokens))

    def names(self, ids: torch.Tensor) -> Dict[int, str]:
        """Word pieces as the tokenizer writes them; a head may have more rows than it has pieces."""
        distinct = ids.unique().tolist()
        known = [item for item in distinct if item < self._vocabulary_size]
        names = dict(zip(known, self._tokenizer.convert_ids_to_tokens(known)))
        return {item: names.get(item, f"[{item}]") for item in distinct}

    def place(self, position: int) -> JsonDict:
        """A position within its text, which is named where there are several."""
        number = max(n for n in self.numbers() if self._layout[n - 1].first_position <= position)
        within = {"position": position - self._layout[number - 1].first_position}
        return within if len(self._layout) == 1 else {"text": number, **within}


def layer_to_json(
    explanation: LayerExplanation,
    texts: OutputTexts,
    coherence: Optional[JsonDict],
) -> List[JsonDict]:
    """One object per instance, without padding; `coherence` is what is known of the layer's."""
    scores = explanation.scores.tolist()
    lost = explanation.lost.tolist()
    gap = explanation.completeness_gap
    gaps = None if gap is None else gap.tolist()
    sources = _sources(explanation, texts)
    decoded = _decoded(explanation, texts)
    vocabulary = _vocabulary(explanation, texts)
    entries = []
    for i in range(len(scores)):
        entry: JsonDict = {}
        for n in texts.numbers():
            entry[f"grad_input_{n}"] = normalised(scores[i][texts.scored(i, n)])
        entry["layer"] = explanation.layer
        if coherence is not None:
            entry["coherence"] = coherence
        for n in texts.numbers():
            entry[f"signed_{n}"] = scores[i][texts.scored(i, n)]
        entry["lost"] = lost[i]
        if gaps is not None:
            entry["completeness_gap"] = gaps[i]
        for n in texts.numbers():
            entry[f"sources_{n}"] = sources[i][texts.scored(i, n)]
            entry[f"decoded_{n}"] = decoded[i][texts.positions(i, n)]
        entry["vocabulary"] = vocabulary[i]
        entries.append(entry)
    return entries


def several_layers(entries: List[JsonDict]) -> JsonDict:
    """An instance explained at several layers: their objects, and the normalised mean of their scores."""
    means: JsonDict = {}
    for key in entries[0]:
        if key.startswith("grad_input_"):
            # Shape: (layers, tokens)
            scores = torch.tensor([entry[key] for entry in entries], dtype=torch.double)
            means[key] = normalised(scores.mean(0).tolist())
    return {**means, "layers": entries}


def _sources(explanation: LayerExplanation, texts: OutputTexts) -> List[List[List[JsonDict]]]:
    return [
        [
            [
                {**texts.place(position), "amount": amount}
                for position, amount in zip(positions, amounts)
                if amount != 0
            ]
            for positions, amounts in zip(*instance)
        ]
        for instance in zip(explanation.source_positions.tolist(), rounded(explanation.source_amounts))
    ]


def _decoded(explanation: LayerExplanation, texts: OutputTexts) -> List[List[List[JsonDict]]]:
    names = texts.names(explanation.top_ids)
    return [
        [
            [
                {"token": names[item], "probability": probability, "contribution": contribution}
                for item, probability, contribution in zip(*position)
            ]
            for position in zip(*instance)
        ]
        for instance in zip(
            explanation.top_ids.tolist(),
            rounded(explanation.top_probabilities),
            rounded(explanation.top_contributions),
        )
    ]


def _vocabulary(explanation: LayerExplanation, texts: OutputTexts) -> List[List[JsonDict]]:
    names = texts.names(explanation.vocabulary_ids)
    return [
        [{"token": names[item], "score": score} for item, score in zip(*instance) if score != 0]
        for instance in zip(explanation.vocabulary_ids.tolist(), rounded(explanation.vocabulary_scores))
    ]


# Powers of ten that are exact as floats.
_POWERS = torch.tensor([10.0**i for i in range(23)], dtype=torch.double)


def rounded(values: torch.Tensor) -> List[Any]:
    """
    A tensor as lists, six significant digits of each number: for amounts that are shown, not summed.

    A quotient or product of an integer and an exact power of ten is the float nearest to the decimal number,
    which JSON writes with these digits alone.
    """
    values = values.detach().double().cpu()
    digits = 5 - values.abs().clamp(min=1e-17).log10().floor().nan_to_num(0.0, 0.0, 0.0)
    # Numbers below 1e-17 keep fewer digits, those from 1e28 on more.
    places = digits.long().clamp(-22, 22)
    up, down = _POWERS[places.clamp(min=0)], _POWERS[(-places).clamp(min=0)]
    return ((values * up / down).round() / up * down).tolist()
