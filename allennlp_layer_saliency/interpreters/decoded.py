from typing import Any, List, Optional

import torch
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor
from torch import Tensor

from allennlp_layer_saliency.core.decoding import Decoding
from allennlp_layer_saliency.core.explanation import LayerExplanation
from allennlp_layer_saliency.core.paths import LayerState, Weights
from allennlp_layer_saliency.core.scoring import decoded_contributions, lost
from allennlp_layer_saliency.interpreters.aggregations import (
    FeatureAggregation,
    preset_named,
)
from allennlp_layer_saliency.interpreters.decoding import DecodingInterpreter, most_salient
from allennlp_layer_saliency.models.text_layout import Inputs


@SaliencyInterpreter.register("decoded-layer-saliency")
class DecodedLayerSaliency(DecodingInterpreter):
    """
    Decoded layer saliency (Hou & Castanon, ICML 2023, Algorithm 1): each position's saliency at an
    inner layer, handed to the words which that layer's hidden state decodes to.

    Registered as a `SaliencyInterpreter` with name "decoded-layer-saliency".

    # Parameters

    predictor : `Predictor`
    aggregation : `FeatureAggregation`, optional
        g: from hidden states and gradients to one weight per position. Left out: the preset's.
    preset : `str`, optional (default = `"balanced"`)
        The aggregation where it is not given: `integrated-gradients` at points of the path from a masked
        input's state that lie where the score changes. "fast" has one, "balanced" three, "best" four, and
        what twelve pieces do alone.
    **kwargs
        As for `DecodingInterpreter` (`lm_head`, `tau`, `normalise`, `decoded_top_k`), `LayerInterpreter`
        (`layer`, `target`, ...) and `TransformerInterpreter`.
    """

    _aggregation: FeatureAggregation

    def __init__(
        self,
        predictor: Predictor,
        aggregation: Optional[FeatureAggregation] = None,
        preset: str = "balanced",
        **kwargs: Any,
    ) -> None:
        chosen = preset_named(preset)
        super().__init__(predictor, **kwargs)
        self._use(aggregation or chosen.aggregation())

    def _explain_layer(self, inputs: Inputs, at: LayerState, layer: int) -> List[LayerExplanation]:
        found = self._aggregation(at)
        # Shape: (targets, batch, positions)
        weights = torch.stack([of_target.weights for of_target in found])
        decoded = inputs.real
        if not self._decoded_top_k:
            decoded = (inputs.mask & (weights != 0).any(0)).nonzero(as_tuple=True)
        decoding = self._decode(inputs, at, weights, decoded, layer)
        return [
            self._explained(inputs, of_target, decoding, vocabulary, layer)
            for of_target, vocabulary in zip(found, decoding.vocabulary)
        ]

    def _explained(
        self, inputs: Inputs, found: Weights, decoding: Decoding, vocabulary: Tensor, layer: int
    ) -> LayerExplanation:
        weights = found.weights
        contributions = decoded_contributions(weights, decoding.shares)
        scores, source_positions, source_amounts = self._received(inputs, contributions)
        vocabulary_ids, vocabulary_scores = most_salient(vocabulary)
        return LayerExplanation(
            layer=layer,
            scores=scores,
            lost=lost(weights, decoding.shares),
            source_positions=source_positions,
            source_amounts=source_amounts,
            top_ids=decoding.top_ids,
            top_probabilities=decoding.top_probabilities,
            top_contributions=weights.unsqueeze(2) * decoding.top_probabilities,
            vocabulary_ids=vocabulary_ids,
            vocabulary_scores=vocabulary_scores,
            completeness_gap=found.completeness_gap,
        )
