"""What the plugin reads from AllenNLP's objects, private attributes among it, in one place."""

import copy
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import sanitize
from allennlp.data import DatasetReader, Instance
from allennlp.data.batch import Batch
from allennlp.data.fields import LabelField, ListField, MetadataField, TextField
from allennlp.data.token_indexers import PretrainedTransformerIndexer
from allennlp.models import BasicClassifier, Model
from allennlp.modules.token_embedders import PretrainedTransformerEmbedder
from allennlp.nn import util
from allennlp.training.metrics import Metric
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def transformer_indexer(reader: DatasetReader) -> Tuple[str, PretrainedTransformerIndexer]:
    """
    The name and the indexer that turns the reader's text into the transformer's word pieces.

    # Raises

    `ConfigurationError`
        If the reader has none.
    """
    indexers = getattr(reader, "_token_indexers", None) or {}
    for name, indexer in indexers.items():
        if isinstance(indexer, PretrainedTransformerIndexer):
            return name, indexer
    kinds = ", ".join(sorted(type(indexer).__name__ for indexer in indexers.values()))
    raise ConfigurationError(
        f"the dataset reader {type(reader).__name__} must have a pretrained_transformer token indexer; it "
        f"has {kinds or 'none'}"
    )


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


def check_has_words(field: TextField, special: Set[int]) -> None:
    """
    Refuse a text of nothing but special tokens, whose ids are given, and white space.

    # Raises

    `ConfigurationError`
    """
    for token in field.tokens:
        # What byte-level and sentence-piece tokenizers write for a space stands alone here.
        if token.text_id not in special and token.text.strip("\u0120\u010a\u2581 \t\r\n"):
            return
    raise ConfigurationError("the text is empty: there is no word to explain")


def tokens_and_offsets(field: TextField, special: Set[int]) -> Dict[str, Any]:
    """
    `tokens_1` and `offsets_1`: the text's tokens and their character spans, null for special ones,
    whose ids are given.
    """
    return {
        "tokens_1": [token.text for token in field.tokens],
        "offsets_1": [
            (
                None
                if token.text_id in special or token.idx is None or token.idx_end is None
                else [token.idx, token.idx_end]
            )
            for token in field.tokens
        ],
    }


def without_labels(instance: Instance) -> Instance:
    """The instance without its gold labels, so that explaining it does not count as an evaluation."""
    return Instance(
        {
            name: field
            for name, field in instance.fields.items()
            if not isinstance(field, LabelField)
        }
    )


def metadata_id(instance: Instance) -> Any:
    """The `id` in the instance's metadata, or None."""
    field = instance.fields.get("metadata")
    if isinstance(field, MetadataField) and isinstance(field.metadata, dict):
        return field.metadata.get("id")
    return None


def reader_special_ids(reader: DatasetReader) -> Set[int]:
    """Ids of the special tokens that the reader adds; none without a transformer's tokenizer."""
    try:
        return special_ids(transformer_indexer(reader)[1]._tokenizer)
    except ConfigurationError:
        return set()


def special_ids(tokenizer: PreTrainedTokenizerBase) -> Set[int]:
    """Ids of the tokenizer's special tokens, the unknown token not among them."""
    return set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}


def batch_tensors(model: Model, reader: DatasetReader, instances: List[Instance]) -> Dict[str, Any]:
    """The instances as a padded batch on the model's device, ready for `model.forward`."""
    for instance in instances:
        reader.apply_token_indexers(instance)
    batch = Batch(instances)
    batch.index_instances(model.vocab)
    return util.move_to_device(batch.as_tensor_dict(), model._get_prediction_device())


@dataclass(frozen=True)
class Folding:
    """
    How the embedder laid out a batch of texts for the transformer: texts longer than its `max_length`
    become several rows, each with special tokens of its own.

    # Parameters

    embedder : `PretrainedTransformerEmbedder`, optional
        None where every text is one row.
    segment_mask : `torch.Tensor`, optional
        Shape: (batch, word pieces with those special tokens). True at real ones.
    """

    embedder: Optional[PretrainedTransformerEmbedder] = None
    segment_mask: Optional[torch.Tensor] = None

    @classmethod
    def of(
        cls, model: Model, transformer: PreTrainedModel, indexed: Dict[str, torch.Tensor]
    ) -> "Folding":
        """For a batch as the transformer's indexer made it."""
        if indexed["token_ids"].shape == indexed["mask"].shape:
            return cls()
        for module in model.modules():
            if (
                isinstance(module, PretrainedTransformerEmbedder)
                and module.transformer_model is transformer
                and module._max_length is not None
            ):
                return cls(module, indexed["segment_concat_mask"])
        raise ConfigurationError(
            "the token indexer folds long texts, but the embedder has no max_length to read them by; give "
            "both the same"
        )

    def undo(self, states: torch.Tensor) -> torch.Tensor:
        """
        From the transformer's rows, or their concatenation, to one row per text, without the special
        tokens between segments.

        # Parameters

        states : `torch.Tensor`
            Shape: (batch * segments, max_length, size), or (batch, concatenated segments, size).

        # Returns

        `torch.Tensor`
            Shape: (batch, positions, size).
        """
        if self.embedder is None:
            return states
        batch_size, length = self.segment_mask.shape
        _, mask, _ = self.embedder._fold_long_sequences(self.segment_mask.long(), self.segment_mask)
        if len(states) == batch_size != len(mask):
            padding = mask.numel() // batch_size - length
            states = torch.nn.functional.pad(states, (0, 0, 0, padding))
            states = states.reshape(*mask.shape, -1)
        return self.embedder._unfold_long_sequences(states, mask, batch_size, length)


def predictions(model: Model, outputs: Dict[str, Any], batch_size: int) -> List[Dict[str, Any]]:
    """A forward pass' outputs as `Predictor.predict_batch_instance` would give them."""
    detached = {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in outputs.items()}
    readable = model.make_output_human_readable(detached)
    separated: List[Dict[str, Any]] = [{} for _ in range(batch_size)]
    for name, output in readable.items():
        if isinstance(output, torch.Tensor):
            output = output.unsqueeze(0) if output.dim() == 0 else output
            output = output.float() if output.is_floating_point() else output
            output = output.cpu().numpy()
        if len(output) != batch_size:
            continue
        for prediction, element in zip(separated, output):
            prediction[name] = sanitize(element)
    return separated


def class_logits(outputs: Dict[str, Any]) -> torch.Tensor:
    """
    The classifier's logits. Shape: (batch, classes).

    # Raises

    `ConfigurationError`
        If the model's output has no logits of this shape.
    """
    for name in ("logits", "label_logits"):
        logits = outputs.get(name)
        if isinstance(logits, torch.Tensor) and logits.dim() == 2:
            return logits
    raise ConfigurationError(
        "the model's output must have `logits` or `label_logits` of shape (batch, classes); it has "
        f"{', '.join(sorted(outputs)) or 'nothing'}"
    )


def label_names(model: Model) -> Dict[int, str]:
    """Class index -> label."""
    namespace = getattr(model, "_label_namespace", "labels")
    return dict(model.vocab.get_index_to_token_vocabulary(namespace))


def mend_token_namespace(model: Model, reader: DatasetReader) -> None:
    """
    Let a `basic_classifier` name its word pieces.

    Its `namespace` defaults to "tokens", the transformer indexer's to "tags", and then
    `make_output_human_readable` raises a KeyError on every input (AllenNLP 2.10.1).
    """
    indexers = getattr(reader, "_token_indexers", None) or {}
    namespaces = {
        i._namespace for i in indexers.values() if isinstance(i, PretrainedTransformerIndexer)
    }
    if isinstance(model, BasicClassifier) and model._namespace == "tokens" and len(namespaces) == 1:
        model._namespace = namespaces.pop()


@contextmanager
def metrics_preserved(model: Model) -> Iterator[None]:
    """Leave the model's metrics as they were before the block."""
    before = [
        (module, name, copy.deepcopy(value))
        for module in model.modules()
        for name, value in vars(module).items()
        if isinstance(value, Metric)
    ]
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
