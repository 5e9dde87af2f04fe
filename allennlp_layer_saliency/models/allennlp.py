"""What the plugin reads from AllenNLP's objects, private attributes among it, in one place."""

import copy
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple, Union

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import sanitize
from allennlp.data import DatasetReader, Instance, Token
from allennlp.data.batch import Batch
from allennlp.data.fields import (
    LabelField,
    ListField,
    MetadataField,
    MultiLabelField,
    SequenceLabelField,
    TextField,
)
from allennlp.data.token_indexers import (
    PretrainedTransformerIndexer,
    PretrainedTransformerMismatchedIndexer,
    TokenIndexer,
)
from allennlp.models import BasicClassifier, Model
from allennlp.modules.text_field_embedders import BasicTextFieldEmbedder
from allennlp.modules.token_embedders import PretrainedTransformerEmbedder
from allennlp.nn import util
from allennlp.predictors import Predictor
from allennlp.training.metrics import Metric
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from allennlp_layer_saliency.models.written_texts import WrittenTextField, written

TransformerIndexer = Union[PretrainedTransformerIndexer, PretrainedTransformerMismatchedIndexer]
TRANSFORMER_INDEXERS = (PretrainedTransformerIndexer, PretrainedTransformerMismatchedIndexer)


def transformer_indexer(
    reader: DatasetReader, name: Optional[str] = None
) -> Tuple[str, TransformerIndexer]:
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
        self._max_length = None


def class_labels(model: Model) -> Dict[int, str]:
    """A classifier's labels by index: its vocabulary's, or the indices if that has none."""
    namespace = getattr(model, "_label_namespace", "labels")
    named = model.vocab.get_index_to_token_vocabulary(namespace)
    return named or {index: str(index) for index in range(getattr(model, "_num_labels", 0))}


def words_by_index(model: Model) -> Dict[int, str]:
    """The words that a language model of AllenNLP's predicts."""
    return model.vocab.get_index_to_token_vocabulary(model._target_namespace)


def language_model_head(model: Model) -> torch.nn.Module:
    """What makes a language model of AllenNLP's logits, which are no part of its output."""
    return model._language_model_head


def model_of(predictor: Predictor) -> Model:
    return predictor._model


def dataset_reader_of(predictor: Predictor) -> DatasetReader:
    return predictor._dataset_reader


def tokenizer_of(indexer: TransformerIndexer) -> PreTrainedTokenizerBase:
    """The Hugging Face tokenizer of a transformer's indexer."""
    return indexer._tokenizer


def on_cpu(model: Model) -> bool:
    """Whether the model takes its batches on the CPU."""
    return model._get_prediction_device() < 0


def _matched(indexer: TransformerIndexer) -> PretrainedTransformerIndexer:
    return getattr(indexer, "_matched_indexer", indexer)


def add_word_pieces(model: Model, indexer: TransformerIndexer) -> None:
    """Have the model's vocabulary know the indexer's word pieces, before the first text does so."""
    _matched(indexer)._add_encoding_to_vocabulary_if_needed(model.vocab)


def max_segment_length(indexer: TransformerIndexer) -> Optional[int]:
    """The length of the segments that longer texts are folded into; None if they are not."""
    return _matched(indexer)._max_length


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
    for module in model.modules():
        if (
            isinstance(module, PretrainedTransformerEmbedder)
            and module.transformer_model is transformer
            and module._max_length is not None
        ):
            rows, row_mask, _ = module._fold_long_sequences(ids, segments)

            def unfold(states: Tensor, embedder: PretrainedTransformerEmbedder = module) -> Tensor:
                return embedder._unfold_long_sequences(states, row_mask, *segments.shape)

            return rows, unfold
    return None


def text_fields(instance: Instance) -> Dict[str, TextField]:
    """
    The instance's text fields by name, in their order.

    # Raises

    `ConfigurationError`
        If a field is a list of texts.
    """
    for name, field in instance.fields.items():
        if isinstance(field, ListField) and len(field) and isinstance(field[0], TextField):
            raise ConfigurationError(
                f"field {name!r} is a list of texts; only single texts are supported"
            )
    return {name: field for name, field in instance.fields.items() if isinstance(field, TextField)}


def with_tokens(field: TextField, tokens: List[Token]) -> TextField:
    """A field of other tokens, to be indexed in the same way."""
    return TextField(tokens, field._token_indexers)


def check_has_words(name: str, field: TextField, special: Set[int]) -> None:
    """
    Refuse a text, given its field's name, of nothing but special tokens, whose ids are given, and white
    space.

    # Raises

    `ConfigurationError`
    """
    for token in field.tokens:
        # What byte-level and sentence-piece tokenizers write for a space stands alone here.
        if token.text_id not in special and token.text.strip("\u0120\u010a\u2581 \t\r\n"):
            return
    raise ConfigurationError(f"the text is empty ({name}): there is no word to explain")


def tokens_and_offsets(field: TextField, special: Set[int], number: int = 1) -> Dict[str, Any]:
    """
    `tokens_1` and `offsets_1`, numbered by the text: its tokens and their character spans, null for
    special ones, whose ids are given.

    Where it is known what the user wrote: `texts_1`, the text that the spans are of, or the two texts of
    a pair that one field holds, and then `segments_1`, for each token in which of them its span is.
    """
    spans: List[Any] = [
        None if token.idx is None or token.idx_end is None else (0, token.idx, token.idx_end)
        for token in field.tokens
    ]
    described: Dict[str, Any] = {}
    if isinstance(field, WrittenTextField):
        spans = list(field.spans)
        described[f"texts_{number}"] = list(field.texts)
    spans = [None if token.text_id in special else span for token, span in zip(field.tokens, spans)]
    if len(described.get(f"texts_{number}", [])) > 1:
        described[f"segments_{number}"] = [None if span is None else span[0] for span in spans]
    return {
        f"tokens_{number}": [token.text for token in field.tokens],
        f"offsets_{number}": [None if span is None else [span[1], span[2]] for span in spans],
        **described,
    }


def without_gold(instance: Instance) -> Instance:
    """The instance without what is to be predicted, so that explaining it computes no loss."""
    return Instance(
        {
            name: field
            for name, field in instance.fields.items()
            if name not in ("answer_span", "target_ids")
            and not isinstance(field, (LabelField, MultiLabelField, SequenceLabelField))
        }
    )


def metadata_id(instance: Instance) -> Any:
    """The `id` in the instance's metadata, or None."""
    field = instance.fields.get("metadata")
    if isinstance(field, MetadataField) and isinstance(field.metadata, dict):
        return field.metadata.get("id")
    return None


def gold_label(instance: Instance) -> Optional[str]:
    """The instance's `label`, where it has one, in words."""
    field = instance.fields.get("label")
    return str(field.label) if isinstance(field, LabelField) else None


def reader_special_ids(reader: DatasetReader) -> Set[int]:
    """Ids of the special tokens that the reader adds; none without a transformer's tokenizer."""
    tokenizer = _reader_tokenizer(reader)
    return set() if tokenizer is None else special_ids(tokenizer)


def _reader_tokenizer(reader: DatasetReader) -> Optional[PreTrainedTokenizerBase]:
    try:
        return transformer_indexer(reader)[1]._tokenizer
    except ConfigurationError:
        return None


def special_ids(tokenizer: PreTrainedTokenizerBase) -> Set[int]:
    """Ids of the tokenizer's special tokens, the unknown token not among them."""
    return set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}


def stand_in_id(
    tokenizer: PreTrainedTokenizerBase, excluded: Optional[int] = None
) -> Optional[int]:
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


def forget_offsets(predictor: Predictor) -> None:
    """Empty the list that the built-in interpreters fill, and fail to empty when they raise."""
    predictor._token_offsets.clear()


def instances_of(predictor: Predictor, line: Dict[str, Any]) -> List[Instance]:
    """
    The instances that a predictor makes of one input: several windows of a long text, or one. Their
    fields know the texts of the line that they were made of.
    """
    if hasattr(predictor, "_json_to_instances"):
        instances = list(predictor._json_to_instances(line))
    else:
        instances = [predictor._json_to_instance(line)]
    return [with_texts(predictor._dataset_reader, instance, line) for instance in instances]


def instance_of(predictor: Predictor, line: Dict[str, Any]) -> Instance:
    """The one instance that a predictor makes of one input; its fields know the texts of the line."""
    instance = predictor._json_to_instance(line)
    return with_texts(predictor._dataset_reader, instance, line)


def with_texts(reader: DatasetReader, instance: Instance, line: Any) -> Instance:
    """The instance, its fields knowing which of a line's strings (or the text given) they were made of."""
    tokenizer = _reader_tokenizer(reader)
    special = reader_special_ids(reader)
    for name, field in instance.fields.items():
        if isinstance(field, TextField):
            instance.fields[name] = written(field, line, special, tokenizer)
    return instance


def index(model: Model, reader: DatasetReader, instance: Instance) -> None:
    """Turn the instance's tokens into ids."""
    reader.apply_token_indexers(instance)
    instance.index_fields(model.vocab)


def indexed_text(field: TextField, indexer_name: str) -> Dict[str, List[Any]]:
    """What an indexer made of an indexed field."""
    return field._indexed_tokens[indexer_name]


def batch_tensors(model: Model, instances: List[Instance]) -> Dict[str, Any]:
    """Indexed instances as a padded batch on the model's device, ready for `model.forward`."""
    batch = Batch([_plain_fields(instance) for instance in instances])
    return util.move_to_device(batch.as_tensor_dict(), model._get_prediction_device())


def _plain_fields(instance: Instance) -> Instance:
    """The instance with text fields of AllenNLP's own class, whether or not their texts are known."""
    fields = {
        name: field.plain() if isinstance(field, WrittenTextField) else field
        for name, field in instance.fields.items()
    }
    plain = Instance(fields)
    plain.indexed = instance.indexed
    return plain


def repeated(tensors: Any, copies: int) -> Any:
    """A batch's tensors, and lists with an item for each instance, for copies of it in a row."""
    if isinstance(tensors, dict):
        return {name: repeated(value, copies) for name, value in tensors.items()}
    if isinstance(tensors, Tensor):
        return torch.cat([tensors] * copies)
    return tensors * copies if isinstance(tensors, list) else tensors


def predictions(model: Model, outputs: Dict[str, Any], batch_size: int) -> List[Dict[str, Any]]:
    """A forward pass' outputs as `Predictor.predict_batch_instance` would give them."""
    detached = {k: _plain(v) if isinstance(v, Tensor) else v for k, v in outputs.items()}
    readable = model.make_output_human_readable(detached)
    separated: List[Dict[str, Any]] = [{} for _ in range(batch_size)]
    for name, output in readable.items():
        if isinstance(output, Tensor):
            output = output.unsqueeze(0) if output.dim() == 0 else output
            output = output.cpu().numpy()
        if len(output) != batch_size:
            continue
        for prediction, element in zip(separated, output):
            prediction[name] = sanitize(element)
    return separated


def _plain(tensor: Tensor) -> Tensor:
    """Without graph, and in a type that NumPy knows."""
    tensor = tensor.detach()
    return tensor.float() if tensor.is_floating_point() else tensor


def mend_token_namespace(model: Model, reader: DatasetReader) -> None:
    """
    Let a `basic_classifier` name its word pieces.

    Its `namespace` defaults to "tokens", the transformer indexer's to "tags", and then
    `make_output_human_readable` raises a KeyError on every input (AllenNLP 2.10.1).
    """
    indexers = getattr(reader, "_token_indexers", None) or {}
    namespaces = {
        _matched(indexer)._namespace
        for indexer in indexers.values()
        if isinstance(indexer, TRANSFORMER_INDEXERS)
    }
    if isinstance(model, BasicClassifier) and model._namespace == "tokens" and len(namespaces) == 1:
        model._namespace = namespaces.pop()


@contextmanager
def metrics_preserved(model: Model) -> Iterator[None]:
    """Leave the model's metrics as they were before the block."""
    metrics = [metric for module in model.modules() for metric in _metrics_in(vars(module))]
    before = [(metric, copy.deepcopy(vars(metric))) for metric in metrics]
    try:
        yield
    finally:
        for metric, state in before:
            vars(metric).clear()
            vars(metric).update(state)


def _metrics_in(value: Any) -> Iterator[Metric]:
    """The metrics that a module's attribute holds, in however many dicts and lists."""
    if isinstance(value, Metric):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _metrics_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _metrics_in(item)
