from typing import Any, Dict, List, Optional, Union

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
    default_aggregation,
)
from allennlp_layer_saliency.interpreters.decoding import DecodingInterpreter, most_salient
from allennlp_layer_saliency.interpreters.lm_heads import LMHead
from allennlp_layer_saliency.interpreters.targets import Target
from allennlp_layer_saliency.models.text_layout import Inputs


@SaliencyInterpreter.register("decoded-layer-saliency")
class DecodedLayerSaliency(DecodingInterpreter):
    """
    Decoded layer saliency (Hou & Castanon, ICML 2023, Algorithm 1): each position's saliency at an
    inner layer, handed to the words which that layer's hidden state decodes to.

    Registered as a `SaliencyInterpreter` with name "decoded-layer-saliency".

    # Parameters

    predictor : `Predictor`
    layer : `Union[int, str, List[int]]`, optional (default = `1`)
        The layer l: an index (0 is the embedding output, -1 the last block's output), a list, "all", or
        "auto", the layer that `coherence` names.
    aggregation : `FeatureAggregation`, optional
        g: from hidden states and gradients to one weight per position. Left out: `integrated-gradients`
        with one step, at the midpoint between a masked input's state and the input's.
    lm_head : `LMHead`, optional
        f_lm. Left out: the head of the pre-trained model that the classifier was built from.
    tau : `int`, optional
        τ: how many top-ranked vocabulary items each position may contribute to. Left out: all.
    normalise : `str`, optional (default = `"input"`)
        "input": what comes out of a position is shared out among the input's pieces, and saliency is
        conserved. "vocabulary": each piece takes the probability that the head gives it.
    target : `Union[str, Dict[str, Any], Target]`, optional (default = `"logit"`)
        The explained score: "logit", "log-probability", or a registered `Target`.
    target_class : `Union[str, int]`, optional
        The explained class, by label or index. Left out: the predicted one.
    contrast_class : `Union[str, int]`, optional
        A class whose score is subtracted from the explained one.
    special_tokens : `str`, optional (default = `"zero"`)
        "zero": they take part and then score 0. "keep": they keep their score. "exclude": they take
        nothing from other positions.
    decoded_top_k : `int`, optional (default = `10`)
        Decoded tokens listed per position. With 0, positions of weight 0 are not decoded.
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
        lm_head: Optional[LMHead] = None,
        tau: Optional[int] = None,
        normalise: str = "input",
        target: Union[str, Dict[str, Any], Target] = "logit",
        target_class: Optional[Union[str, int]] = None,
        contrast_class: Optional[Union[str, int]] = None,
        special_tokens: str = "zero",
        decoded_top_k: int = 10,
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
            lm_head=lm_head,
            tau=tau,
            normalise=normalise,
            target=target,
            target_class=target_class,
            contrast_class=contrast_class,
            special_tokens=special_tokens,
            decoded_top_k=decoded_top_k,
            word_aggregation=word_aggregation,
            transformer=transformer,
            autocast=autocast,
        )
        self._aggregation = aggregation

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
