import torch
from allennlp.common.checks import ConfigurationError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.interpreters.lm_heads.lm_head import LMHead, check_hidden_size


@LMHead.register("tied-embeddings")
class TiedEmbeddingsLMHead(LMHead):
    """
    No trained head: logits are the hidden state's products with the classifier's own input
    embeddings. For classifiers whose pre-trained model has no usable head.

    Registered as an `LMHead` with name "tied-embeddings".
    """

    def load(self, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Decoder:
        try:
            weight = transformer.get_input_embeddings().weight.detach()
        except (AttributeError, NotImplementedError) as error:
            raise ConfigurationError(
                f"tied-embeddings: {type(transformer).__name__} has no input embedding matrix"
            ) from error

        def logits(hidden_states: torch.Tensor) -> torch.Tensor:
            return hidden_states.to(weight.dtype) @ weight.t()

        decoder = Decoder(
            logits=logits,
            vocabulary_size=weight.size(0),
            hidden_size=weight.size(1),
            output_embeddings=weight,
        )
        check_hidden_size("tied-embeddings", decoder, transformer)
        return decoder
