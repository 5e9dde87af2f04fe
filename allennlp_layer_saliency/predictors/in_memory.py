"""Classifiers of Hugging Face that are in memory, without an archive."""

from contextlib import contextmanager
from typing import Any, Iterator, List, Optional, Sequence, Tuple, Union

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from allennlp_layer_saliency.core.capture import evaluation
from allennlp_layer_saliency.dataset_readers.huggingface_classifier import InMemoryReader
from allennlp_layer_saliency.display import Explanation
from allennlp_layer_saliency.models.huggingface_classifier import HuggingFaceTagger, in_memory
from allennlp_layer_saliency.predictors.saliency import SaliencyPredictor


def explain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Union[str, Tuple[str, str]]],
    interpreter: str = "decoded-layer-saliency",
    max_length: Optional[int] = None,
    words: bool = False,
    **settings: Any,
) -> List[Explanation]:
    """
    Explain a Hugging Face classifier's predictions; the model is left as it was.

    # Parameters

    model : `transformers.PreTrainedModel`
        A sequence or token classifier, such as `AutoModelForSequenceClassification` loads, on any device.
    tokenizer : `transformers.PreTrainedTokenizerBase`
    texts : `Sequence[Union[str, Tuple[str, str]]]`
        Texts or pairs of texts.
    interpreter : `str`, optional (default = `"decoded-layer-saliency"`)
        Any registered interpreter's name.
    max_length : `int`, optional
        Longer texts are cut off to this many word pieces. Left out, texts longer than the model are an error.
    words : `bool`, optional (default = `False`)
        Whether scores are of words, and not of word pieces. Those of a token classifier's spans always are.
    **settings
        The interpreter's, as in its configuration: `layer=3`, `lm_head={"type": "tied-embeddings"}`, ...

    # Returns

    `List[Explanation]`
        For each text what `saliency_interpret_batch_json` gives: `{"instance_1": {"signed_1": [...], ...}}`.

    # Raises

    `ConfigurationError`
        If the model, a setting or a text can't be explained.
    """
    if isinstance(texts, str):
        texts = [texts]
    with evaluation(model), _configuration_kept(model):
        wrapped = in_memory(model)
        reader = InMemoryReader(tokenizer, max_length, words or isinstance(wrapped, HuggingFaceTagger))
        predictor = SaliencyPredictor(wrapped, reader, {"type": interpreter, **settings})
        pairs = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
        outcomes = predictor.explain([[reader.text_to_instance(*pair)] for pair in pairs])
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return [outcome.explanation for outcome in outcomes]  # type: ignore[union-attr]


@contextmanager
def _configuration_kept(model: PreTrainedModel) -> Iterator[None]:
    before = dict(vars(model.config))
    try:
        yield
    finally:
        vars(model.config).clear()
        vars(model.config).update(before)
