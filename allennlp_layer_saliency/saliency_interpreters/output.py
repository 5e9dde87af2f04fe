"""Explanations of a batch as the JSON that `saliency_interpret_from_json` returns."""

from typing import Dict, List

import torch
from allennlp.common.util import JsonDict
from allennlp.data.fields import TextField
from transformers import PreTrainedTokenizerBase

from allennlp_layer_saliency.core.explanation import LayerExplanation
from allennlp_layer_saliency.core.scoring import normalised


def layer_to_json(
    explanation: LayerExplanation, fields: List[TextField], tokenizer: PreTrainedTokenizerBase
) -> List[JsonDict]:
    """One object per instance, without padding."""
    scores = explanation.scores.tolist()
    lost = explanation.lost.tolist()
    sources = _sources(explanation)
    decoded = _decoded(explanation, tokenizer)
    vocabulary = _vocabulary(explanation, tokenizer)
    entries = []
    for i, field in enumerate(fields):
        length = len(field.tokens)
        signed = scores[i][:length]
        entries.append(
            {
                "grad_input_1": normalised(signed),
                "layer": explanation.layer,
                "signed_1": signed,
                "lost": lost[i],
                "sources_1": sources[i][:length],
                "decoded_1": decoded[i][:length],
                "vocabulary": vocabulary[i],
            }
        )
    return entries


def several_layers(entries: List[JsonDict]) -> JsonDict:
    """An instance explained at several layers: their objects, and the normalised mean of their scores."""
    # Shape: (layers, positions)
    scores = torch.tensor([entry["grad_input_1"] for entry in entries], dtype=torch.double)
    return {"grad_input_1": normalised(scores.mean(0).tolist()), "layers": entries}


def _sources(explanation: LayerExplanation) -> List[List[List[JsonDict]]]:
    return [
        [
            [
                {"position": position, "amount": _rounded(amount)}
                for position, amount in zip(positions, amounts)
                if amount != 0
            ]
            for positions, amounts in zip(*instance)
        ]
        for instance in zip(
            explanation.source_positions.tolist(), explanation.source_amounts.tolist()
        )
    ]


def _decoded(
    explanation: LayerExplanation, tokenizer: PreTrainedTokenizerBase
) -> List[List[List[JsonDict]]]:
    names = _names(explanation.top_ids, tokenizer)
    return [
        [
            [
                {
                    "token": names[item],
                    "probability": _rounded(probability),
                    "contribution": _rounded(contribution),
                }
                for item, probability, contribution in zip(*position)
            ]
            for position in zip(*instance)
        ]
        for instance in zip(
            explanation.top_ids.tolist(),
            explanation.top_probabilities.tolist(),
            explanation.top_contributions.tolist(),
        )
    ]


def _vocabulary(
    explanation: LayerExplanation, tokenizer: PreTrainedTokenizerBase
) -> List[List[JsonDict]]:
    names = _names(explanation.vocabulary_ids, tokenizer)
    return [
        [
            {"token": names[item], "score": _rounded(score)}
            for item, score in zip(*instance)
            if score != 0
        ]
        for instance in zip(
            explanation.vocabulary_ids.tolist(), explanation.vocabulary_scores.tolist()
        )
    ]


def _names(ids: torch.Tensor, tokenizer: PreTrainedTokenizerBase) -> Dict[int, str]:
    """Word pieces as the tokenizer writes them; a head may have more rows than it has pieces."""
    distinct = ids.unique().tolist()
    known = [item for item in distinct if item < len(tokenizer)]
    names = dict(zip(known, tokenizer.convert_ids_to_tokens(known)))
    return {item: names.get(item, f"[{item}]") for item in distinct}


def _rounded(value: float) -> float:
    """Six significant digits: for amounts that are shown, not summed."""
    return float(f"{value:.6g}")
