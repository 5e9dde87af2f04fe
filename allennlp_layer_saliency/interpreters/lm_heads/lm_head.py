from typing import Dict

from allennlp.common import Registrable
from allennlp.common.checks import ConfigurationError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from allennlp_layer_saliency.core.decoding import Decoder


class LMHead(Registrable):
    """
    A pre-trained language model's head, which maps hidden states back to the vocabulary.

    Building one is cheap; `load` reads the weights.
    """

    default_implementation = "pretrained"

    def load(self, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Decoder:
        """
        Load the head for a classifier.

        # Parameters

        transformer : `transformers.PreTrainedModel`
            The classifier's.
        tokenizer : `transformers.PreTrainedTokenizerBase`
            The classifier's; its pieces must be those that the head speaks of.

        # Raises

        `ConfigurationError`
            If the head can't be loaded or does not fit the classifier.
        """
        raise NotImplementedError


def check_vocabulary(name: str, head_vocabulary: Dict[str, int], tokenizer: PreTrainedTokenizerBase) -> None:
    """
    Raise a `ConfigurationError` unless each of the head's pieces has the same id for the classifier.

    The classifier's tokenizer may have more pieces: those added to it later.
    """
    own = tokenizer.get_vocab()
    differing = [piece for piece, index in head_vocabulary.items() if own.get(piece) != index]
    if differing:
        piece = min(differing, key=lambda piece: head_vocabulary[piece])
        raise ConfigurationError(
            f"the LM head {name} has another vocabulary than the classifier: {len(differing):,} of its "
            f"{len(head_vocabulary):,} pieces differ (its piece {head_vocabulary[piece]} is {piece!r}, the "
            f"classifier's is {tokenizer.convert_ids_to_tokens(head_vocabulary[piece])!r}); use the head of "
            "the model that the classifier was fine-tuned from"
            if head_vocabulary[piece] < len(tokenizer)
            else f"the LM head {name} has another vocabulary than the classifier: {len(head_vocabulary):,} "
            f"pieces, the classifier {len(own):,}; use the head of the model that the classifier was "
            "fine-tuned from"
        )


def check_hidden_size(name: str, decoder: Decoder, transformer: PreTrainedModel) -> None:
    """Raise a `ConfigurationError` unless the head takes hidden states of the transformer's size."""
    if decoder.hidden_size != transformer.config.hidden_size:
        raise ConfigurationError(
            f"the LM head {name} takes hidden states of size {decoder.hidden_size}; the classifier's have "
            f"size {transformer.config.hidden_size}: it was not fine-tuned from that model"
        )
