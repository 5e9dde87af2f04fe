"""A model's texts: from instances to its padded tensors and to its layers' hidden states."""

from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.data import Instance
from allennlp.data.fields import MetadataField, TextField
from allennlp.data.token_indexers import PretrainedTransformerMismatchedIndexer
from allennlp.models import Model
from allennlp.predictors import Predictor
from torch import Tensor

from allennlp_layer_saliency.core.capture import capture, mixed
from allennlp_layer_saliency.models.allennlp import (
    add_word_pieces,
    batch_tensors,
    check_has_words,
    dataset_reader_of,
    embedder_name,
    index,
    indexed_text,
    max_segment_length,
    mend_token_namespace,
    metrics_preserved,
    model_of,
    on_cpu,
    reads_by_layers_alone,
    special_ids,
    stand_in_id,
    text_fields,
    tokenizer_of,
    transformer_indexer,
    without_gold,
)
from allennlp_layer_saliency.models.batching import TokenBudget
from allennlp_layer_saliency.models.huggingface import (
    find_transformer,
    layers_of,
    max_positions,
    recorders_last,
    without_cache,
)
from allennlp_layer_saliency.models.text_layout import Inputs, TextLayout

AUTOCAST = ("bfloat16", "float16")

T = TypeVar("T")


class Prepared(NamedTuple):
    """
    An input that the model can read.

    # Parameters

    instances : `List[Instance]`
        Indexed, without gold labels; several if the predictor reads the text in windows.
    lengths : `List[int]`
        Word pieces of each.
    """

    instances: List[Instance]
    lengths: List[int]


class Batch(NamedTuple):
    """
    Prepared instances that go through the model together.

    # Parameters

    instances : `List[Instance]`
    tensors : `Dict[str, Any]`
        What the model's `forward` is given.
    layout : `TextLayout`
        Where in the tensors the texts are.
    inputs : `Inputs`
        The texts as the core wants them.
    """

    instances: List[Instance]
    tensors: Dict[str, Any]
    layout: TextLayout
    inputs: Inputs


class TextReader:
    """
    Reads texts as a predictor's model does.

    # Parameters

    predictor : `Predictor`
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    autocast : `str`, optional
        "bfloat16" or "float16": run the model in automatic mixed precision.

    # Attributes

    model, dataset_reader
        The predictor's.
    transformer, tokenizer, hf_layers
        The model's Hugging Face transformer, its tokenizer, and where its layers are.
    special_ids : `Set[int]`
        Of the tokenizer's special tokens, the unknown token not among them.
    mask_id : `int`, optional
        What stands for a masked word piece; None if the tokenizer has nothing that could.
    reads_words : `bool`
        Whether the tokens of the texts are words, each of several word pieces.
    equal_lengths : `bool`
        Whether the model gives a text other outputs when it is padded.
    budget : `TokenBudget`
        How many word pieces go through the model together.

    # Raises

    `ConfigurationError`
        If there is no transformer, or it is not one whose layers are known.
    """

    def __init__(
        self,
        predictor: Predictor,
        transformer: Optional[str] = None,
        autocast: Optional[str] = None,
    ) -> None:
        self.model: Model = model_of(predictor)
        self.dataset_reader = dataset_reader_of(predictor)
        self.budget = TokenBudget()
        mend_token_namespace(self.model, self.dataset_reader)
        self._autocast = _autocast_type(autocast, self.model)
        try:
            self.transformer = find_transformer(self.model, transformer)
            self._indexer_name, self._indexer = transformer_indexer(
                self.dataset_reader, embedder_name(self.model, self.transformer)
            )
            self.hf_layers = layers_of(self.transformer)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        add_word_pieces(self.model, self._indexer)
        self.tokenizer = tokenizer_of(self._indexer)
        self.special_ids = special_ids(self.tokenizer)
        self.mask_id = stand_in_id(self.tokenizer)
        self.reads_words = isinstance(self._indexer, PretrainedTransformerMismatchedIndexer)
        self.equal_lengths = getattr(self.model, "equal_lengths", False)
        self._by_layers_alone = reads_by_layers_alone(self.model)

    def prepare(self, instances: List[Instance]) -> Prepared:
        """
        Check and index one input: an instance, or those of the windows that the predictor makes of it.

        # Raises

        `ConfigurationError`
            If it is empty, longer than the model can read, or not of single texts.
        """
        prepared = [without_gold(instance) for instance in instances]
        lengths = []
        for instance in prepared:
            fields = text_fields(instance)
            if not fields:
                raise ConfigurationError("there is no text to explain: the instance has no text field")
            for name, field in fields.items():
                check_has_words(name, field, self.special_ids)
            index(self.model, self.dataset_reader, instance)
            lengths.append(sum(self._length(name, field) for name, field in fields.items()))
        return Prepared(prepared, lengths)

    def batch(self, instances: List[Instance]) -> Batch:
        """Prepared instances as a padded batch."""
        return self._laid_out(instances, batch_tensors(self.model, instances))

    def masked_batch(self, instances: List[Instance], stand_in: int) -> Batch:
        """As `batch`, with the id `stand_in` for all word pieces but special tokens."""
        tensors = batch_tensors(self.model, instances)
        special = torch.tensor(sorted(self.special_ids))
        for name in text_fields(instances[0]):
            indexed = self.indexed(tensors, name)
            ids = indexed["token_ids"]
            kept = (ids.unsqueeze(-1) == special.to(ids.device)).any(-1)
            indexed["token_ids"] = ids.masked_fill(~kept, stand_in)
        return self._laid_out(instances, tensors)

    def layers_tell_all(self, instance: Instance) -> bool:
        """Whether the model's logits for an instance depend on its text by the transformer's layers only."""
        if not self._by_layers_alone:
            return False
        segment = max_segment_length(self._indexer)
        for field in instance.fields.values():
            if not isinstance(field, (TextField, MetadataField)):
                return False
            # Between the segments of a folded text there are states that are none of the text's.
            if isinstance(field, TextField) and segment is not None:
                if len(self.indexed_ids(field)["token_ids"]) > segment:
                    return False
        return True

    def indexed(self, tensors: Dict[str, Any], name: str) -> Dict[str, Tensor]:
        """What the transformer's indexer made of a batch's text field."""
        return tensors[name][self._indexer_name]

    def indexed_ids(self, field: TextField) -> Dict[str, List[Any]]:
        """What the transformer's indexer made of an instance's text, when it was indexed."""
        return indexed_text(field, self._indexer_name)

    def run(self, forward: Callable[[], T]) -> T:
        """Run the model by `forward`, in the wanted precision, and without a decoder's cache."""
        with without_cache(self.transformer), recorders_last(self.transformer):
            return mixed(forward, self.model, self._autocast)()

    def states(
        self,
        batch: Batch,
        layers: Sequence[int],
        forward: Optional[Callable[[Dict[str, Any]], Dict[str, Any]]] = None,
    ) -> Tuple[Dict[int, Tensor], Dict[str, Any]]:
        """
        One forward pass without a graph.

        # Parameters

        batch : `Batch`
        layers : `Sequence[int]`
        forward : `Callable[[Dict[str, Any]], Dict[str, Any]]`, optional
            Runs the model on tensors. Left out: the model itself.

        # Returns

        `Tuple[Dict[int, torch.Tensor], Dict[str, Any]]`
            h_l of each layer, float32, of shape (batch, positions, hidden), and the model's outputs.

        # Raises

        `ValueError`
            If the model does not read the texts as they are.
        """
        outputs_of = forward or (lambda tensors: self.model(**tensors))
        with metrics_preserved(self.model):
            captured = capture(
                self.model,
                {layer: self.hf_layers.taps[layer] for layer in layers},
                lambda: self.run(lambda: outputs_of(batch.tensors)),
                lambda outputs: torch.zeros(0, 1),
                self.hf_layers.word_embeddings,
                gradients=False,
            )
        runs = batch.layout.runs(captured.token_ids)
        found = {
            layer: batch.layout.joined([states[i] for i in runs]).float()
            for layer, states in captured.hidden_states.items()
        }
        return found, captured.outputs

    def hidden_states(
        self, inputs: List[Prepared], layers: Sequence[int]
    ) -> Iterator[Tuple[List[int], Inputs, Dict[int, Tensor]]]:
        """
        The layers' hidden states, in batches of similar length.

        # Returns

        `Iterator[Tuple[List[int], Inputs, Dict[int, torch.Tensor]]]`
            For each batch: which of the inputs it holds, as they are laid out, and layer -> h_l of shape
            (batch, positions, hidden). Of an input with several windows the first counts.

        # Raises

        `ConfigurationError`
            If the model does not read the texts as they are.
        """
        lengths = [prepared.lengths[0] for prepared in inputs]

        def work(chosen: List[int]) -> Tuple[Inputs, Dict[int, Tensor]]:
            batch = self.batch([inputs[i].instances[0] for i in chosen])
            try:
                return batch.inputs, self.states(batch, layers)[0]
            except ValueError as error:
                raise ConfigurationError(str(error)) from error

        for chosen, found in self.budget.run(lengths, work, self.equal_lengths):
            yield (chosen, *found)

    def _laid_out(self, instances: List[Instance], tensors: Dict[str, Any]) -> Batch:
        texts = [self.indexed(tensors, name) for name in text_fields(instances[0])]
        layout = TextLayout.of(self.model, self.transformer, texts)
        return Batch(instances, tensors, layout, layout.inputs(sorted(self.special_ids)))

    def _length(self, name: str, field: TextField) -> int:
        """Word pieces of an indexed text, checked against the model's positions."""
        indexed = self.indexed_ids(field)
        if "offsets" in indexed and all(offsets == (-1, -1) for offsets in indexed["offsets"]):
            raise ConfigurationError(f"the text is empty ({name}): no word has a word piece")
        length = len(indexed["token_ids"])
        room = max_positions(self.transformer.config)
        # The embedder folds longer texts into segments of the indexer's max_length.
        if room is not None and min(length, max_segment_length(self._indexer) or length) > room:
            advice = (
                f'shorten it, set "max_length": {room} on the token indexer and the embedder to fold it, or '
                "on the dataset reader's tokenizer to cut it off"
            )
            # Readers of ours have other settings.
            if hasattr(self.dataset_reader, "advice_on_length"):
                advice = self.dataset_reader.advice_on_length(room)
            raise ConfigurationError(
                f"the text has {length} word pieces; the model has room for {room}: {advice}"
            )
        return length


def _autocast_type(name: Optional[str], model: Model) -> Optional[torch.dtype]:
    if name is None:
        return None
    if name not in AUTOCAST:
        raise ConfigurationError(f"autocast must be one of {AUTOCAST}; got {name!r}")
    if on_cpu(model) and torch.__version__.startswith("1."):
        # It knows no float16, and fails to differentiate some models in bfloat16.
        raise ConfigurationError(
            f'autocast on a CPU needs torch 2 (the README\'s "Install"); this is {torch.__version__}'
        )
    return getattr(torch, name)
