from typing import Any, Optional, Tuple

from allennlp.common.checks import ConfigurationError
from allennlp.predictors import Predictor
from torch import Tensor

from allennlp_layer_saliency.core.decoding import (
    Decoder,
    Decoding,
    check_settings,
    decode,
    top_ranked,
)
from allennlp_layer_saliency.core.paths import LayerState
from allennlp_layer_saliency.core.scoring import receiving_positions
from allennlp_layer_saliency.interpreters.base import LayerInterpreter
from allennlp_layer_saliency.interpreters.lm_heads import LMHead, PretrainedLMHead
from allennlp_layer_saliency.models.text_layout import Inputs

# Entries of the list of the most salient vocabulary items.
VOCABULARY_ITEMS = 20


class DecodingInterpreter(LayerInterpreter):
    """
    What the interpreters with an LM head share.

    # Parameters

    predictor : `Predictor`
    lm_head : `LMHead`, optional
        f_lm. Left out: the head of the pre-trained model that the classifier was built from.
    tau : `int`, optional
        τ: how many top-ranked vocabulary items each position may contribute to. Left out: all.
    normalise : `str`, optional (default = `"input"`)
        "input": what comes out of a position is shared out among the input's pieces, and saliency is
        conserved. "vocabulary": each piece takes the probability that the head gives it.
    decoded_top_k : `int`, optional (default = `10`)
        Decoded tokens listed per position. With 0, positions of weight 0 are not decoded.
    **kwargs
        As for `LayerInterpreter`.
    """

    def __init__(
        self,
        predictor: Predictor,
        lm_head: Optional[LMHead] = None,
        tau: Optional[int] = None,
        normalise: str = "input",
        decoded_top_k: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(predictor, **kwargs)
        try:
            check_settings(tau, normalise)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        if decoded_top_k < 0:
            raise ConfigurationError(f"decoded_top_k must be 0 or more; got {decoded_top_k}")
        self._tau = tau
        self._normalise = normalise
        self._decoded_top_k = decoded_top_k
        self._decoder: Decoder = (lm_head or PretrainedLMHead()).load(
            self.texts.transformer, self.texts.tokenizer
        )
        for each in self.layers:
            self._decoder.at(each)  # refuses a layer that the head does not speak of

    def _decode(
        self,
        inputs: Inputs,
        at: LayerState,
        weights: Tensor,
        decoded: Tuple[Tensor, ...],
        layer: int,
    ) -> Decoding:
        decoding = decode(
            self._decoder.at(layer),
            self.texts.hf_layers.for_head(at.hidden_states, layer),
            weights,
            inputs.token_ids,
            decoded=decoded,
            receiving=receiving_positions(inputs.mask, inputs.special, self._special_tokens),
            tau=self._tau,
            normalise=self._normalise,
            top_k=self._decoded_top_k,
        )
        at.expect_finite(decoding.vocabulary, "the LM head gives NaN or infinite logits for this input")
        return decoding


def most_salient(scores: Tensor) -> Tuple[Tensor, Tensor]:
    """
    The vocabulary items of the largest absolute score, and their signed scores.

    # Parameters

    scores : `torch.Tensor`
        Shape: (batch, vocabulary).

    # Returns

    `Tuple[torch.Tensor, torch.Tensor]`
        Both of shape (batch, items).
    """
    ids = top_ranked(scores.abs(), min(VOCABULARY_ITEMS, scores.size(1)))
    return ids, scores.gather(1, ids)
