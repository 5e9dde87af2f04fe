from typing import Any, List, Union

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor
from torch import Tensor

from allennlp_layer_saliency.core.decoding import Decoding
from allennlp_layer_saliency.core.explanation import LayerExplanation
from allennlp_layer_saliency.core.paths import LayerState
from allennlp_layer_saliency.core.scoring import lost, projected_contributions
from allennlp_layer_saliency.interpreters.decoding import DecodingInterpreter, most_salient
from allennlp_layer_saliency.models.text_layout import Inputs


@SaliencyInterpreter.register("projected-gradient-saliency")
class ProjectedGradientSaliency(DecodingInterpreter):
    """
    The gradient projected onto the LM head's output embeddings W: u_n[v] = <D_n, W_v> says, to first
    order, how the score would change if position n moved towards word v. The input's pieces score
    S[v] = sum_n A_n[v] u_n[v], with A from the decoding.

    Registered as a `SaliencyInterpreter` with name "projected-gradient-saliency".

    # Parameters

    predictor : `Predictor`
    layer : `Union[int, str, List[int]]`, optional (default = `-1`)
    **kwargs
        As for `DecodingInterpreter` (`lm_head`, `tau`, `normalise`, `decoded_top_k`), `LayerInterpreter`
        (`target`, `special_tokens`, ...) and `TransformerInterpreter`.
    """

    def __init__(self, predictor: Predictor, layer: Union[int, str, List[int]] = -1, **kwargs: Any) -> None:
        super().__init__(predictor, layer=layer, **kwargs)
        embeddings = self._decoder.output_embeddings
        if embeddings is None or embeddings.size(1) != self._decoder.hidden_size:
            size = "none" if embeddings is None else f"some of size {embeddings.size(1)}"
            raise ConfigurationError(
                "projected-gradient-saliency needs an LM head whose output embeddings have the hidden "
                f"states' size {self._decoder.hidden_size}; this one has {size}: use decoded-layer-saliency"
            )
        self._output_embeddings = embeddings

    def _explain_layer(self, inputs: Inputs, at: LayerState, layer: int) -> List[LayerExplanation]:
        self._output_embeddings = self._output_embeddings.to(inputs.mask.device)
        weights = torch.zeros_like(at.hidden_states[..., 0])
        decoding = self._decode(inputs, at, weights, inputs.real, layer)
        return [self._explained(inputs, decoding, gradients, layer) for gradients in at.gradients]

    def _explained(
        self, inputs: Inputs, decoding: Decoding, gradients: Tensor, layer: int
    ) -> LayerExplanation:
        # Shape: (vocabulary, hidden)
        embeddings = self._output_embeddings
        # Shape: (batch, positions, hidden)
        piece_embeddings = embeddings[inputs.token_ids.clamp(max=embeddings.size(0) - 1)].float()
        contributions = projected_contributions(gradients, piece_embeddings, decoding.shares)
        # What a position would have given to its own piece. Shape: (batch, positions)
        own = (gradients * piece_embeddings).sum(-1)
        scores, source_positions, source_amounts = self._received(inputs, contributions)
        # sum_n <D_n, W_v> = <sum_n D_n, W_v>. Shape: (batch, vocabulary)
        vocabulary = gradients.sum(1).to(embeddings.dtype) @ embeddings.t()
        vocabulary_ids, vocabulary_scores = most_salient(vocabulary.float())
        # Shape: (batch, positions, top_k)
        top_contributions = torch.einsum("bnk,bntk->bnt", gradients, embeddings[decoding.top_ids].float())
        return LayerExplanation(
            layer=layer,
            scores=scores,
            lost=lost(own, decoding.shares),
            source_positions=source_positions,
            source_amounts=source_amounts,
            top_ids=decoding.top_ids,
            top_probabilities=decoding.top_probabilities,
            top_contributions=top_contributions,
            vocabulary_ids=vocabulary_ids,
            vocabulary_scores=vocabulary_scores,
        )
