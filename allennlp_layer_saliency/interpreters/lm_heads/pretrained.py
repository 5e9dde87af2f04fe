from typing import List, MutableMapping, Optional
from weakref import WeakValueDictionary

from allennlp.common.checks import ConfigurationError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.interpreters.lm_heads.lm_head import (
    LMHead,
    check_hidden_size,
    check_vocabulary,
)
from allennlp_layer_saliency.models.huggingface import (
    fine_tuned_from,
    load_lm_head,
    load_tokenizer,
)

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
        model that the classifier was built from, or that one was, and so on.
    """

    def __init__(self, model_name: Optional[str] = None) -> None:
        self.model_name = model_name

    def load(self, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Decoder:
        return _fitting(self.name_for(transformer, tokenizer), transformer, tokenizer)

    def name_for(self, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
        """
        The language model that the head is of.

        # Raises

        `ConfigurationError`
            If none is named and none of those that the classifier was built from has a head that fits.
        """
        if self.model_name is not None:
            return self.model_name
        name = getattr(transformer.config, "_name_or_path", None)
        problem = "it does not say which pretrained model it was fine-tuned from"
        seen: List[str] = []
        # A model that was fine-tuned in stages names the stage before; the first of them has an LM head.
        while name and name not in seen:
            seen.append(name)
            try:
                _fitting(name, transformer, tokenizer)
                return name
            except ConfigurationError as error:
                problem = problem if len(seen) > 1 else str(error)
            name = fine_tuned_from(name)
        raise ConfigurationError(
            f"no LM head was found for the classifier: {problem}. Name the pretrained model, "
            '`lm_head: { type: "pretrained", model_name: ... }` (or, where a Hugging Face folder is made an '
            "archive, `allennlp saliency archive --base ...`); or do without a trained head, `lm_head: { "
            'type: "tied-embeddings" }`, or without decoding, `type: "layer-saliency"`'
        )


def _fitting(name: str, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Decoder:
    """
    The head of that name.

    # Raises

    `ConfigurationError`
        If it can't be loaded or does not fit the classifier.
    """
    decoder = _LOADED.get(name)
    if decoder is None:
        try:
            decoder = load_lm_head(name)
        except ValueError as error:
            raise ConfigurationError(f"lm_head: {error}") from error
        _LOADED[name] = decoder
    try:
        vocabulary = load_tokenizer(name).get_vocab()
    except ValueError as error:
        raise ConfigurationError(
            f"lm_head: no tokenizer at {name!r} beside the language model, so that its vocabulary can't be "
            f"compared with the classifier's ({error})"
        ) from error
    check_vocabulary(repr(name), vocabulary, tokenizer)
    check_hidden_size(repr(name), decoder, transformer)
    return decoder
