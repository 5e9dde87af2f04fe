from typing import Any, List, Optional

import torch
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.core.explanation import LayerExplanation
from allennlp_layer_saliency.core.paths import LayerState, Weights
from allennlp_layer_saliency.core.scoring import token_scores
from allennlp_layer_saliency.interpreters.aggregations import (
    FeatureAggregation,
    preset_named,
)
from allennlp_layer_saliency.interpreters.base import LayerInterpreter
from allennlp_layer_saliency.models.text_layout import Inputs


class UndecodedInterpreter(LayerInterpreter):
    """
    What the interpreters without an LM head share: each position keeps its own weight.

    # Parameters

    predictor : `Predictor`
    special_tokens : `str`, optional (default = `"keep"`)
        "keep" their scores; "zero" and "exclude" both set them to 0 here, where nothing is handed on.
    **kwargs
        As for `LayerInterpreter`.
    """

    _aggregation: FeatureAggregation

    def __init__(self, predictor: Predictor, special_tokens: str = "keep", **kwargs: Any) -> None:
        super().__init__(predictor, special_tokens=special_tokens, **kwargs)

    def _explain_layer(self, inputs: Inputs, at: LayerState, layer: int) -> List[LayerExplanation]:
        return [self._explained(inputs, found, layer) for found in self._aggregation(at)]

    def _explained(self, inputs: Inputs, found: Weights, layer: int) -> LayerExplanation:
        weights = found.weights
        if inputs.words is None:
            # Each position's only source is itself: no need for a matrix that says so.
            scores = token_scores(weights, inputs.special, self._special_tokens)
            source_positions = torch.arange(weights.size(1), device=weights.device)
            source_positions = source_positions.expand_as(weights).unsqueeze(2)
            source_amounts = weights.unsqueeze(2)
        else:
            scores, source_positions, source_amounts = self._received(inputs, torch.diag_embed(weights))
        none = weights.new_zeros(*weights.shape, 0)
        return LayerExplanation(
            layer=layer,
            scores=scores,
            lost=weights.new_zeros(len(weights)),
            source_positions=source_positions,
            source_amounts=source_amounts,
            top_ids=none.long(),
            top_probabilities=none,
            top_contributions=none,
            vocabulary_ids=none[:, 0].long(),
            vocabulary_scores=none[:, 0],
            completeness_gap=found.completeness_gap,
        )


@SaliencyInterpreter.register("layer-saliency")
class LayerSaliency(UndecodedInterpreter):
    """
    Layer saliency without decoding: each position keeps its own weight s_n. The ablation of
    `decoded-layer-saliency`, and comparable to Captum's layer attributions.

    At the last layer of a model pooled on its first position, all gradient sits on that position, and
    gradient-norm and gradient-x-input are [1, 0, 0, ...] by construction.

    Registered as a `SaliencyInterpreter` with name "layer-saliency".

    # Parameters

    predictor : `Predictor`
    aggregation : `FeatureAggregation`, optional
        g: from hidden states and gradients to one weight per position. Left out: the preset's.
    preset : `str`, optional (default = `"balanced"`)
        The aggregation where it is not given: `integrated-gradients` at points of the path from a masked
        input's state that lie where the score changes. "fast" has one, "balanced" three, "best" four, and
        what twelve pieces do alone.
    **kwargs
        As for `UndecodedInterpreter` (`special_tokens`), `LayerInterpreter` (`layer`, `target`, ...) and
        `TransformerInterpreter`.
    """

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
