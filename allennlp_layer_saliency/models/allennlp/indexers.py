"""AllenNLP's token indexers and embedders of transformers."""

from typing import Any, Callable, Dict, List, Optional, Set, Tuple, Union

from allennlp.common.checks import ConfigurationError
from allennlp.data import DatasetReader, Token, Vocabulary
from allennlp.data.token_indexers import (
    PretrainedTransformerIndexer,
    PretrainedTransformerMismatchedIndexer,
    TokenIndexer,
)
from allennlp.data.token_indexers.token_indexer import IndexedTokenList
from allennlp.models import Model
from allennlp.modules.text_field_embedders import BasicTextFieldEmbedder
from allennlp.modules.token_embedders import PretrainedTransformerEmbedder
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

TransformerIndexer = Union[PretrainedTransformerIndexer, PretrainedTransformerMismatchedIndexer]
TRANSFORMER_INDEXERS = (PretrainedTransformerIndexer, PretrainedTransformerMismatchedIndexer)


def transformer_indexer(reader: DatasetReader, name: Optional[str] = None) -> Tuple[str, TransformerIndexer]:
    """
    The name and the indexer that turns the reader's text into a transformer's word pieces: the one of
    the given name, or the first.

    # Raises

    `ConfigurationError`
        If the reader has none.
    """
    indexers = getattr(reader, "_token_indexers", None) or {}
    for key, indexer in indexers.items():
        if name in (None, key) and isinstance(indexer, TRANSFORMER_INDEXERS):
            return key, indexer
    kinds = ", ".join(f"{key} ({type(indexer).__name__})" for key, indexer in indexers.items())
    raise ConfigurationError(
        f"the dataset reader {type(reader).__name__} must have a pretrained_transformer or "
        f"pretrained_transformer_mismatched token indexer{f' named {name}' if name else ''}; it has "
        f"{kinds or 'none'}"
    )


class EncodedTextIndexer(PretrainedTransformerIndexer):
    """
    Indexes texts that a tokenizer has encoded already, special tokens included.

    AllenNLP's own tries its tokenizer on "a", "b", "1" and "2" first, and fails where none of these is a
    word piece (proteins, DNA, Chinese, Arabic, ...).

    # Parameters

    tokenizer : `transformers.PreTrainedTokenizerBase`
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        TokenIndexer.__init__(self)
        self._namespace = "tags"
        self._tokenizer = tokenizer
        self._added_to_vocabulary = False
        self._max_length = None  # type: ignore[assignment]  # as the base class has it without folding


class EncodedWord(Token):
    """
    A word and its word pieces, of a text that a tokenizer has encoded already.

    # Parameters

    pieces : `List[Token]`
    before, after : `List[Token]`
        The special tokens before it, and those after the last word.
    **kwargs
        As for `Token`.
    """

    def __init__(self, pieces: List[Token], before: List[Token], after: List[Token], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pieces = pieces
        self.before = before
        self.after = after


class EncodedWordsIndexer(PretrainedTransformerMismatchedIndexer):
    """
    Indexes texts of `EncodedWord`s.

    # Parameters

    tokenizer : `transformers.PreTrainedTokenizerBase`
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        TokenIndexer.__init__(self)
        self._matched_indexer = EncodedTextIndexer(tokenizer)
        self._tokenizer = tokenizer

    def tokens_to_indices(self, tokens: List[Token], vocabulary: Vocabulary) -> IndexedTokenList:
        pieces: List[Token] = []
        offsets = []
        for word in tokens:
            assert isinstance(word, EncodedWord)
            pieces += word.before
            offsets.append((len(pieces), len(pieces) + len(word.pieces) - 1))
            pieces += word.pieces + word.after
        indexed = self._matched_indexer.tokens_to_indices(pieces, vocabulary)
        return {
            **indexed,
            "mask": [True] * len(tokens),
            "offsets": offsets,
            "wordpiece_mask": [True] * len(pieces),
        }


def _matched(indexer: TransformerIndexer) -> PretrainedTransformerIndexer:
    if isinstance(indexer, PretrainedTransformerMismatchedIndexer):
        return indexer._matched_indexer
    return indexer


def add_word_pieces(model: Model, indexer: TransformerIndexer) -> None:
    """Have the model's vocabulary know the indexer's word pieces, before the first text does so."""
    _matched(indexer)._add_encoding_to_vocabulary_if_needed(model.vocab)


def max_segment_length(indexer: TransformerIndexer) -> Optional[int]:
    """The length of the segments that longer texts are folded into; None if they are not."""
    return _matched(indexer)._max_length


def indexer_namespace(indexer: TransformerIndexer) -> str:
    """The vocabulary's namespace of the indexer's word pieces."""
    return _matched(indexer)._namespace


def tokenizer_of(indexer: TransformerIndexer) -> PreTrainedTokenizerBase:
    """The Hugging Face tokenizer of a transformer's indexer."""
    return indexer._tokenizer


def reader_special_ids(reader: DatasetReader) -> Set[int]:
    """Ids of the special tokens that the reader adds; none without a transformer's tokenizer."""
    tokenizer = reader_tokenizer(reader)
    return set() if tokenizer is None else special_ids(tokenizer)


def reader_tokenizer(reader: DatasetReader) -> Optional[PreTrainedTokenizerBase]:
    """Of the reader's transformer; None if it has none."""
    try:
        return transformer_indexer(reader)[1]._tokenizer
    except ConfigurationError:
        return None


def text_settings(reader: DatasetReader) -> Dict[str, Any]:
    """The tokenizer and indexers of a reader that has them as AllenNLP's have, as arguments of another."""
    return {
        "tokenizer": getattr(reader, "_tokenizer", None),
        "token_indexers": getattr(reader, "_token_indexers", None),
    }


def special_ids(tokenizer: PreTrainedTokenizerBase) -> Set[int]:
    """Ids of the tokenizer's special tokens, the unknown token not among them."""
    return set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}


def stand_in_id(tokenizer: PreTrainedTokenizerBase, excluded: Optional[int] = None) -> Optional[int]:
    """
    The id of the token that takes a word piece's place when it is masked: the mask token or, where a causal
    language model has none, the first of unknown, padding and end token that it has, which stand for no word
    in particular, but not the one `excluded`. None if there is none of them.
    """
    for name in ("mask_token_id", "unk_token_id", "pad_token_id", "eos_token_id"):
        found = getattr(tokenizer, name)
        if found not in (None, excluded):
            return found
    return None


def embedder_name(model: Model, transformer: PreTrainedModel) -> Optional[str]:
    """The name of the token embedder that holds the transformer, if a text field embedder does."""
    for embedder in model.modules():
        if isinstance(embedder, BasicTextFieldEmbedder):
            for name, part in embedder._token_embedders.items():
                if any(module is transformer for module in part.modules()):
                    return name
    return None


def folded(
    model: Model, transformer: PreTrainedModel, ids: Tensor, segments: Tensor
) -> Optional[Tuple[Tensor, Callable[[Tensor], Tensor]]]:
    """
    The rows that the transformer's embedder makes of word pieces in segments, and its way back from states
    of such rows to one row for each text; None if the embedder folds nothing.
    """
    # AllenNLP's signatures name the tensors' types, LongTensor and so on, which are not classes.
    embedder: Any = next(
        (
            module
            for module in model.modules()
            if isinstance(module, PretrainedTransformerEmbedder)
            and module.transformer_model is transformer
            and module._max_length is not None
        ),
        None,
    )
    if embedder is None:
        return None
    rows, row_mask, _ = embedder._fold_long_sequences(ids, segments)
    return rows, lambda states: embedder._unfold_long_sequences(states, row_mask, *segments.shape)
