from typing import Any, Dict, List, Optional, Union

import torch
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.core.explanation import LayerExplanation
from allennlp_layer_saliency.core.paths import LayerState, Weights
from allennlp_layer_saliency.core.scoring import token_scores
from allennlp_layer_saliency.interpreters.aggregations import (
    FeatureAggregation,
    default_aggregation,
)
from allennlp_layer_saliency.interpreters.base import LayerInterpreter
from allennlp_layer_saliency.interpreters.targets import Target
from allennlp_layer_saliency.models.text_layout import Inputs


@SaliencyInterpreter.register("layer-saliency")
class LayerSaliency(LayerInterpreter):
    """
    Layer saliency without decoding: each position keeps its own weight s_n. The ablation of
    `decoded-layer-saliency`, and comparable to Captum's layer attributions.

    At the last layer of a model pooled on its first position, all gradient sits on that position, and
    gradient-norm and gradient-x-input are [1, 0, 0, ...] by construction.

    Registered as a `SaliencyInterpreter` with name "layer-saliency".

    # Parameters

    predictor : `Predictor`
    layer : `Union[int, str, List[int]]`, optional (default = `1`)
        The layer l: an index (0 is the embedding output, -1 the last block's output), a list, "all", or
        "auto", the layer that `coherence` names.
    aggregation : `FeatureAggregation`, optional
        g: from hidden states and gradients to one weight per position. Left out: `integrated-gradients`
        with one step, at the midpoint between a masked input's state and the input's.
    target : `Union[str, Dict[str, Any], Target]`, optional (default = `"logit"`)
        The explained score: "logit", "log-probability", or a registered `Target`.
    target_class : `Union[str, int]`, optional
        The explained class, by label or index. Left out: the predicted one.
    contrast_class : `Union[str, int]`, optional
        A class whose score is subtracted from the explained one.
    special_tokens : `str`, optional (default = `"keep"`)
        "keep" their scores; "zero" and "exclude" both set them to 0 here, where nothing is handed on.
    word_aggregation : `str`, optional (default = `"sum"`)
        For models that read words: a word's score is the "sum" or "mean" of its pieces' signed scores,
        or the one that is largest in absolute value ("max").
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    coherence : `str`, optional
        The folder that `allennlp saliency layers` wrote. Each layer's coherence is then part of the
        output, and a layer that decodes poorly is warned of.
    autocast : `str`, optional
        "bfloat16" or "float16": run the model in automatic mixed precision. Decoding stays in float32.
    """

    def __init__(
        self,
        predictor: Predictor,
        layer: Union[int, str, List[int]] = 1,
        aggregation: Optional[FeatureAggregation] = None,
        target: Union[str, Dict[str, Any], Target] = "logit",
        target_class: Optional[Union[str, int]] = None,
        contrast_class: Optional[Union[str, int]] = None,
        special_tokens: str = "keep",
        word_aggregation: str = "sum",
        transformer: Optional[str] = None,
        coherence: Optional[str] = None,
        autocast: Optional[str] = None,
    ) -> None:
        aggregation = aggregation or default_aggregation()
        super().__init__(
            predictor=predictor,
            layer=layer,
            coherence=coherence,
            aggregation=aggregation,
            target=target,
            target_class=target_class,
            contrast_class=contrast_class,
            special_tokens=special_tokens,
            word_aggregation=word_aggregation,
            transformer=transformer,
            autocast=autocast,
        )
        self._aggregation = aggregation

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
            scores, source_positions, source_amounts = self._received(
                inputs, torch.diag_embed(weights)
            )
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
