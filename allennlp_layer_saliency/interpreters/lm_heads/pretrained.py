from typing import MutableMapping, Optional
from weakref import WeakValueDictionary

from allennlp.common.cached_transformers import get_tokenizer
from allennlp.common.checks import ConfigurationError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.interpreters.lm_heads.lm_head import (
    LMHead,
    check_hidden_size,
    check_vocabulary,
)
from allennlp_layer_saliency.models.huggingface import load_lm_head

# Interpreters that are compared share a head as long as one of them is there.
_LOADED: MutableMapping[str, Decoder] = WeakValueDictionary()


@LMHead.register("pretrained")
class PretrainedLMHead(LMHead):
    """
    The head of a masked or causal language model of Hugging Face.

    Registered as an `LMHead` with name "pretrained".

    # Parameters

    model_name : `str`, optional
        A name on the hub or a local folder with the model and its tokenizer. Left out: the pre-trained
        model that the classifier was built from.
    """

    def __init__(self, model_name: Optional[str] = None) -> None:
        self.model_name = model_name

    def load(self, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Decoder:
        name = self.model_name or transformer.config._name_or_path
        if not name:
            raise ConfigurationError(
                "the classifier does not say which pretrained model it was built from; name it: "
                '`lm_head: { type: "pretrained", model_name: ... }`'
            )
        decoder = _LOADED.get(name)
        if decoder is None:
            try:
                decoder = load_lm_head(name)
            except ValueError as error:
                raise ConfigurationError(f"lm_head: {error}") from error
            _LOADED[name] = decoder
        try:
            vocabulary = get_tokenizer(name).get_vocab()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"lm_head: no tokenizer at {name!r} beside the language model, so that its vocabulary "
                "can't be compared with the classifier's"
            ) from error
        check_vocabulary(repr(name), vocabulary, tokenizer)
        check_hidden_size(repr(name), decoder, transformer)
        return decoder
