import json
import logging
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.file_utils import cached_path
from allennlp.data import DatasetReader, Instance, Token
from allennlp.data.fields import Field, LabelField, MultiLabelField, TensorField
from transformers import BatchEncoding, PreTrainedTokenizerBase

from allennlp_layer_saliency.models.allennlp import (
    EncodedTextIndexer,
    EncodedWord,
    EncodedWordsIndexer,
    special_ids,
)
from allennlp_layer_saliency.models.allennlp.written_texts import WrittenTextField, spans_in
from allennlp_layer_saliency.models.huggingface import (
    REGRESSION,
    SINGLE_LABEL,
    in_archive,
    load_tokenizer,
)
from allennlp_layer_saliency.models.offsets import Span, grouped_by_word

logger = logging.getLogger(__name__)


@DatasetReader.register("huggingface-classifier")
class HuggingFaceClassifierReader(DatasetReader):
    """
    Texts or pairs of texts, encoded as the classifier's own tokenizer does.

    Reads JSON lines with a `sentence` (or `text`), or a `premise` and a `hypothesis`, and maybe a
    `label`: a name, a list of names for a classifier of any number of labels, or a regression's number.

    Registered as a `DatasetReader` with name "huggingface-classifier".

    # Parameters

    model_name : `str`
        A folder of the archive, a local folder or a name on the hub.
    max_length : `int`, optional
        Longer texts are cut off to this many word pieces, with one warning. Left out, texts longer than the
        model are an error.
    problem_type : `str`, optional
        "regression" where labels are numbers.
    words : `bool`, optional (default = `False`)
        Whether tokens, and so scores, are words, as `offsets.words_of` finds them, and not word pieces.
    serialization_dir : `str`, optional
        Where the archive was unpacked; AllenNLP supplies it.

    # Raises

    `ConfigurationError`
        If there is no tokenizer, or `max_length` has no room for a word piece.
    """

    def __init__(
        self,
        model_name: str,
        max_length: Optional[int] = None,
        problem_type: str = SINGLE_LABEL,
        words: bool = False,
        serialization_dir: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        try:
            tokenizer = load_tokenizer(in_archive(model_name, serialization_dir))
        except ValueError as error:
            raise ConfigurationError(f"huggingface-classifier: {error}") from error
        self._use(tokenizer, max_length, problem_type, words)

    def _use(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: Optional[int],
        problem_type: str,
        words: bool,
    ) -> None:
        least = tokenizer.num_special_tokens_to_add(pair=False) + 1
        if max_length is not None and (type(max_length) is not int or max_length < least):
            raise ConfigurationError(
                f"max_length must be at least {least}, special tokens included; got {max_length!r}"
            )
        self._tokenizer = tokenizer
        indexer = EncodedWordsIndexer(tokenizer) if words else EncodedTextIndexer(tokenizer)
        self._token_indexers = {"tokens": indexer}
        self._words = words
        self._max_length = max_length
        self._problem_type = problem_type
        self._cut_seen = False

    def advice_on_length(self, room: int) -> str:
        """What to do about a text that is longer than the model, which has room for `room` pieces."""
        setting = json.dumps({"dataset_reader.max_length": room})
        return (
            f"shorten it, or cut it off: `-o '{setting}'`, or make the archive with `allennlp saliency "
            f"archive --max-length {room}`"
        )

    def text_to_instance(
        self,
        text: str,
        second_text: Optional[str] = None,
        label: Union[None, str, float, List[str]] = None,
    ) -> Instance:
        texts = [text] if second_text is None else [text, second_text]
        for given in texts:
            if not isinstance(given, str):
                raise ConfigurationError(
                    f"a text must be a string; this one is {type(given).__name__} (a pair of texts is given "
                    "as premise and hypothesis)"
                )
        encoding = self._encoded(text, second_text)
        if self._max_length is not None and len(encoding["input_ids"]) > self._max_length:
            if not self._cut_seen:
                self._cut_seen = True
                logger.warning(
                    "a text of %d word pieces is cut off to max_length, %d; later ones without a word",
                    len(encoding["input_ids"]),
                    self._max_length,
                )
            encoding = self._encoded(
                text, second_text, truncation="longest_first", max_length=self._max_length
            )
        ids = encoding["input_ids"]
        tokens = [
            Token(text=piece, text_id=index, type_id=type_id)
            for piece, index, type_id in zip(
                self._tokenizer.convert_ids_to_tokens(ids), ids, encoding["token_type_ids"]
            )
        ]
        given_spans: Optional[List[Optional[Span]]] = None
        if self._tokenizer.is_fast:
            given_spans = [
                None if number is None else Span(number, start, end)
                for number, (start, end) in zip(encoding.sequence_ids(), encoding["offset_mapping"])
            ]
        special = special_ids(self._tokenizer)
        spans, _ = spans_in(texts, tokens, special, self._tokenizer, given_spans)
        for token, span in zip(tokens, spans):
            if span is not None and span.start < span.end:
                token.idx, token.idx_end = span.start, span.end
        if self._words:
            tokens, spans = _by_words(texts, tokens, spans)
        fields: Dict[str, Field] = {"tokens": WrittenTextField(tokens, texts, spans)}
        if label is not None:
            fields["label"] = self._label(label)
        return Instance(fields)

    def _label(self, label: Any) -> Field:
        if self._problem_type == REGRESSION:
            try:
                return TensorField(torch.tensor(label, dtype=torch.float))
            except (TypeError, ValueError) as error:
                raise ConfigurationError(f"a regression's label must be a number; got {label!r}") from error
        if isinstance(label, list):
            return MultiLabelField([str(name) for name in label], label_namespace="labels")
        return LabelField(str(label))

    def _encoded(self, text: str, second_text: Optional[str], **settings: Any) -> BatchEncoding:
        return self._tokenizer(
            text,
            second_text,
            return_token_type_ids=True,
            return_offsets_mapping=self._tokenizer.is_fast,
            # How long a text may be is checked against the model, with a message that helps.
            verbose=False,
            **settings,
        )

    def apply_token_indexers(self, instance: Instance) -> None:
        instance["tokens"].token_indexers = self._token_indexers  # type: ignore

    def _read(self, file_path: str) -> Iterable[Instance]:
        with open(cached_path(file_path), encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                entry = json.loads(line)
                first = next((entry[key] for key in ("sentence", "text", "premise") if key in entry), None)
                if first is None:
                    raise ConfigurationError(
                        f"{file_path}, line {number}: a sentence, text or premise is wanted; there is "
                        f"{', '.join(entry) or 'nothing'}"
                    )
                yield self.text_to_instance(first, entry.get("hypothesis"), entry.get("label"))


def _by_words(
    texts: List[str], pieces: List[Token], spans: List[Optional[Span]]
) -> Tuple[List[Token], List[Optional[Span]]]:
    """The words that word pieces are of, and their spans."""
    words: List[EncodedWord] = []
    of_words: List[Optional[Span]] = []
    end = 0
    for span, own in grouped_by_word(texts, spans):
        word = EncodedWord(
            [pieces[i] for i in own],
            before=pieces[end : own[0]],
            after=[],
            text=texts[span.text][span.start : span.end],
            idx=span.start,
            idx_end=span.end,
        )
        words.append(word)
        of_words.append(span)
        end = own[-1] + 1
    if words:
        words[-1].after = pieces[end:]
    return list(words), of_words


class InMemoryReader(HuggingFaceClassifierReader):
    """
    The same, around a tokenizer that is loaded.

    # Parameters

    tokenizer : `transformers.PreTrainedTokenizerBase`
    max_length : `int`, optional
        As for `HuggingFaceClassifierReader`.
    words : `bool`
        As for `HuggingFaceClassifierReader`.

    # Raises

    `ConfigurationError`
        If `max_length` has no room for a word piece.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: Optional[int] = None,
        words: bool = False,
    ) -> None:
        DatasetReader.__init__(self)
        self._use(tokenizer, max_length, SINGLE_LABEL, words)

    def advice_on_length(self, room: int) -> str:
        return f"shorten it, or cut it off: `max_length={room}`"
