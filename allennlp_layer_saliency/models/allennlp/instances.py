"""AllenNLP's instances: from a predictor's inputs to a batch of tensors."""

from typing import Any, Dict, List, Set, Union

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.data import DatasetReader, Instance, Token
from allennlp.data.batch import Batch
from allennlp.data.fields import (
    LabelField,
    ListField,
    MetadataField,
    MultiLabelField,
    SequenceLabelField,
    TensorField,
    TextField,
)
from allennlp.models import Model
from allennlp.nn import util
from allennlp.predictors import Predictor
from torch import Tensor

from allennlp_layer_saliency.models.allennlp.indexers import reader_special_ids, reader_tokenizer
from allennlp_layer_saliency.models.allennlp.written_texts import WrittenTextField, written


def text_fields(instance: Instance) -> Dict[str, TextField]:
    """
    The instance's text fields by name, in their order.

    # Raises

    `ConfigurationError`
        If a field is a list of texts.
    """
    for name, field in instance.fields.items():
        if isinstance(field, ListField) and len(field) and isinstance(field[0], TextField):
            raise ConfigurationError(f"field {name!r} is a list of texts; only single texts are supported")
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
    blank = isinstance(field, WrittenTextField) and not any(text.strip() for text in field.texts)
    for token in [] if blank else field.tokens:
        # What byte-level and sentence-piece tokenizers write for a space stands alone here.
        if token.text_id not in special and (token.text or "").strip("\u0120\u010a\u2581 \t\r\n"):
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


def gold_label(instance: Instance) -> Union[None, str, float, List[str]]:
    """The instance's `label`, where it has one, in words: a list if there are several; or a number."""
    field = instance.fields.get("label")
    if isinstance(field, MultiLabelField):
        return [str(label) for label in field.labels]
    if isinstance(field, TensorField) and field.tensor.numel() == 1:
        return float(field.tensor)
    return str(field.label) if isinstance(field, LabelField) else None


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
    """
    The one instance that a predictor makes of one input, as of `instances_of`.

    # Raises

    `ValueError`
        If it makes several windows of the text, or none.
    """
    instances = instances_of(predictor, line)
    if len(instances) != 1:
        raise ValueError(
            f"the text makes {len(instances)} inputs of the model; it is measured on texts that make one: a "
            "shorter one, or a larger length_limit of the dataset reader"
        )
    return instances[0]


def with_texts(reader: DatasetReader, instance: Instance, line: Any) -> Instance:
    """The instance, its fields knowing which of a line's strings (or the text given) they were made of."""
    tokenizer = reader_tokenizer(reader)
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
    return (field._indexed_tokens or {})[indexer_name]


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
