from functools import partial
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.data.fields import TextField
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.models import Model
from allennlp.predictors import Predictor

from allennlp_layer_saliency.core.capture import capture, mixed
from allennlp_layer_saliency.core.explanation import LayerExplanation
from allennlp_layer_saliency.core.paths import LayerState
from allennlp_layer_saliency.core.scoring import (
    check_special_tokens,
    check_word_aggregation,
    of_words,
    sources,
    token_scores,
)
from allennlp_layer_saliency.dataset_readers import HuggingFaceClassifierReader
from allennlp_layer_saliency.display import Explanation
from allennlp_layer_saliency.interpreters.aggregations import FeatureAggregation
from allennlp_layer_saliency.interpreters.coherence_file import CoherenceFile
from allennlp_layer_saliency.interpreters.masked_states import MaskedStates
from allennlp_layer_saliency.interpreters.output import (
    OutputTexts,
    layer_to_json,
    several_layers,
)
from allennlp_layer_saliency.interpreters.targets import Target, as_target, target_type
from allennlp_layer_saliency.interpreters.traced_batch import TracedBatch
from allennlp_layer_saliency.models.allennlp import (
    add_word_pieces,
    batch_tensors,
    check_has_words,
    embedder_name,
    index,
    indexed_text,
    instances_of,
    max_segment_length,
    mend_token_namespace,
    metrics_preserved,
    special_ids,
    stand_in_id,
    text_fields,
    transformer_indexer,
    without_gold,
)
from allennlp_layer_saliency.models.batching import TokenBudget
from allennlp_layer_saliency.models.huggingface import (
    find_transformer,
    layers_of,
    max_positions,
    without_cache,
)
from allennlp_layer_saliency.models.text_layout import Inputs, TextLayout

AUTOCAST = ("bfloat16", "float16")


class Prepared(NamedTuple):
    """
    An input that can be explained.

    # Parameters

    instances : `List[Instance]`
        Indexed, without gold labels; several if the predictor reads the text in windows.
    lengths : `List[int]`
        Word pieces of each.
    """

    instances: List[Instance]
    lengths: List[int]


class Explained(NamedTuple):
    """The model's prediction for an instance and its explanation, both ready for JSON."""

    prediction: JsonDict
    explanation: Explanation


class LayerInterpreter(SaliencyInterpreter):
    """
    What the layer interpreters share: from instances through one capture to JSON.

    # Parameters

    predictor : `Predictor`
    layer : `Union[int, str, List[int]]`
        Counted as in `hidden_states`: 0 is the embedding output, L or -1 the last block's output. A
        list, or "all", explains several layers from one backward pass. "auto" takes the layer that
        `coherence` names.
    coherence : `str`, optional
        layers.json of `allennlp saliency layers`, or the folder with it.
    aggregation : `FeatureAggregation`, optional
        g, where the interpreter has one.
    target : `Union[str, Dict[str, Any], Target]`
        The explained score: "logit", "log-probability", or a registered `Target`.
    target_class : `Union[str, int]`, optional
        The explained class by label or index. Left out: the predicted one.
    contrast_class : `Union[str, int]`, optional
        A class whose score is subtracted: what speaks for the one rather than the other.
    special_tokens : `str`
        "zero": they take part and then score 0. "keep": they keep their score. "exclude": no other
        position may give them anything.
    word_aggregation : `str`
        For models that read words: how a word's score comes from those of its pieces, "sum", "mean" or
        "max".
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    autocast : `str`, optional
        "bfloat16" or "float16": run the model in automatic mixed precision.

    # Attributes

    transformer, tokenizer, hf_layers
        The model's Hugging Face transformer, its tokenizer, and where its layers are.
    layers : `List[int]`
        Those that are explained.
    special_ids : `Set[int]`
        Of the tokenizer's special tokens, the unknown token not among them.
    budget : `TokenBudget`
        How many word pieces go through the model together.
    """

    def __init__(
        self,
        predictor: Predictor,
        layer: Union[int, str, List[int]],
        coherence: Optional[str],
        aggregation: Optional[FeatureAggregation],
        target: Union[str, Dict[str, Any], Target],
        target_class: Optional[Union[str, int]],
        contrast_class: Optional[Union[str, int]],
        special_tokens: str,
        word_aggregation: str,
        transformer: Optional[str],
        autocast: Optional[str] = None,
    ) -> None:
        super().__init__(predictor)
        self.budget = TokenBudget()
        self._model = predictor._model
        self._reader = predictor._dataset_reader
        mend_token_namespace(self._model, self._reader)
        self._autocast = _autocast_type(autocast, self._model)
        self._special_tokens = special_tokens
        self._word_aggregation = word_aggregation
        target_type(self._model)  # refuses what has no single score
        try:
            check_special_tokens(special_tokens)
            check_word_aggregation(word_aggregation)
            self.transformer = find_transformer(self._model, transformer)
            self._indexer_name, self._indexer = transformer_indexer(
                self._reader, embedder_name(self._model, self.transformer)
            )
            self.hf_layers = layers_of(self.transformer)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        add_word_pieces(self._model, self._indexer)
        self._target = as_target(target).of(self._model, target_class, contrast_class)
        self.tokenizer = self._indexer._tokenizer
        last_layer = len(self.hf_layers.taps) - 1
        known = None if coherence is None else CoherenceFile.read(coherence, last_layer)
        if layer == "auto":
            if known is None:
                raise ConfigurationError(
                    'layer "auto" needs `coherence`: the folder that `allennlp saliency layers` wrote'
                )
            layer = known.chosen
        self.layers = _layer_indices(layer, last_layer)
        if known is not None:
            known.warn_of_poor(self.layers)
        self._coherence = {} if known is None else known.layers
        self._taps = {index: self.hf_layers.taps[index] for index in self.layers}
        self._several_layers = not isinstance(layer, int)
        self.special_ids = special_ids(self.tokenizer)
        self._resumes = aggregation is not None and aggregation.resumes
        self._one_by_one = aggregation is not None and aggregation.one_by_one
        needs_mask = aggregation is not None and aggregation.needs_mask
        self._mask_id = stand_in_id(self.tokenizer)
        if needs_mask and self._mask_id is None:
            raise ConfigurationError(
                "aggregation: the classifier's tokenizer has no mask token, and no unknown, padding or end "
                'token that could stand in for it, as baseline "mask" needs; use "zero"'
            )

    def saliency_interpret_from_json(self, inputs: JsonDict) -> Explanation:
        """Explain one input: `{"instance_1": {"grad_input_1": [...], ...}}`, which displays itself."""
        return self.saliency_interpret_batch_json([inputs])[0]

    def saliency_interpret_batch_json(self, inputs: List[JsonDict]) -> List[Explanation]:
        """Explain several inputs; the results are in their order."""
        prepared = [self.prepare(instances_of(self.predictor, line)) for line in inputs]
        return [explained.explanation for explained in self.explain(prepared)]

    def saliency_interpret_batch_instance(self, instances: List[Instance]) -> List[Explanation]:
        """Explain several instances; the results are in their order."""
        prepared = [self.prepare([instance]) for instance in instances]
        return [explained.explanation for explained in self.explain(prepared)]

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
                raise ConfigurationError(
                    "there is no text to explain: the instance has no text field"
                )
            for name, field in fields.items():
                check_has_words(name, field, self.special_ids)
            index(self._model, self._reader, instance)
            lengths.append(sum(self._length(name, field) for name, field in fields.items()))
        return Prepared(prepared, lengths)

    def explain(self, inputs: List[Prepared]) -> List[Explained]:
        """
        The model's predictions and their explanations, from the same forward passes, in order.

        # Raises

        `ConfigurationError`
            If an input can't be explained; the message says why.
        """
        flat = [instance for prepared in inputs for instance in prepared.instances]
        lengths = [length for prepared in inputs for length in prepared.lengths]
        results: List[Optional[Explained]] = [None] * len(flat)
        masked_states = MaskedStates(
            self._states_of_masked, self._indexer_name, self.special_ids.__contains__
        )
        for chosen, explained in self.budget.run(
            lengths,
            lambda chosen: self._explain_batch([flat[i] for i in chosen], masked_states),
            self._target.equal_lengths,
            self._one_by_one,
            copies=self._resumes,
        ):
            for i, result in zip(chosen, explained):
                results[i] = result
        in_order = iter(results)
        return [
            max((next(in_order) for _ in prepared.instances), key=_confidence)  # type: ignore
            for prepared in inputs
        ]

    def hidden_states(
        self, inputs: List[Prepared]
    ) -> Iterator[Tuple[List[int], Inputs, Dict[int, torch.Tensor]]]:
        """
        The hidden states of the interpreter's layers, in batches of similar length.

        # Returns

        `Iterator[Tuple[List[int], Inputs, Dict[int, torch.Tensor]]]`
            For each batch: which of the inputs it holds, as they are laid out, and layer -> h_l of shape
            (batch, positions, hidden). Of an input with several windows the first counts.
        """
        lengths = [prepared.lengths[0] for prepared in inputs]

        def work(chosen: List[int]) -> Tuple[Inputs, Dict[int, torch.Tensor]]:
            tensors, layout = self.batch([inputs[i].instances[0] for i in chosen])
            try:
                states = self._states(tensors, layout)
            except ValueError as error:
                raise ConfigurationError(str(error)) from error
            return layout.inputs(sorted(self.special_ids)), states

        for chosen, found in self.budget.run(lengths, work, self._target.equal_lengths):
            yield (chosen, *found)

    def _length(self, name: str, field: TextField) -> int:
        """Word pieces of an indexed text, checked against the model's positions."""
        indexed = indexed_text(field, self._indexer_name)
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
            if isinstance(self._reader, HuggingFaceClassifierReader):
                advice = self._reader.advice_on_length(room)
            raise ConfigurationError(
                f"the text has {length} word pieces; the model has room for {room}: {advice}"
            )
        return length

    def _explain_layer(self, inputs: Inputs, at: LayerState, layer: int) -> List[LayerExplanation]:
        """Explain each target of a batch at one layer."""
        raise NotImplementedError

    def _explain_batch(
        self, instances: List[Instance], masked_states: MaskedStates
    ) -> List[Explained]:
        tensors, layout = self.batch(instances)
        inputs = layout.inputs(sorted(self.special_ids))
        texts = OutputTexts(instances, layout, inputs, self.special_ids, self.tokenizer)
        explanations = [Explanation() for _ in instances]
        try:
            batch = TracedBatch(
                self._model,
                self.hf_layers,
                self._target,
                self.layers,
                instances,
                tensors,
                layout,
                inputs,
                self._resumes,
                self.budget.pieces,
                self._autocast,
            )
            of_masked = masked_states.of(instances, inputs)
            explained = {
                layer: self._explain_layer(
                    inputs, batch.at(layer, partial(of_masked, layer)), layer
                )
                for layer in self.layers
                if len(batch.scores)
            }
            if explained:
                batch.check()
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        except RuntimeError as error:
            if "not implemented for 'Half'" in str(error):
                raise ConfigurationError(
                    "this version of torch can't run a float16 model on a CPU; use a GPU "
                    "(`--cuda-device 0`), or call `model.float()`"
                ) from error
            raise
        except TypeError as error:
            if "Does not support dtype torch.bfloat16" in str(error):
                raise ConfigurationError(
                    f"{type(self._model).__name__} takes a masked softmax of AllenNLP's, which there is not "
                    "in bfloat16; use float16 or float32"
                ) from error
            raise
        # For each layer, for each target, for each instance; not before the device has all of its work.
        per_layer = [
            [
                layer_to_json(explanation, texts, self._coherence.get(layer))
                for explanation in of_layer
            ]
            for layer, of_layer in explained.items()
        ]
        scores = batch.scores.tolist()
        for i, choices in enumerate(batch.choices):
            for target, choice in enumerate(choices):
                described = {**choice.description, "score": scores[target][i]}
                entries = [{**of_layer[target][i], "target": described} for of_layer in per_layer]
                explanations[i][f"instance_{target + 1}"] = {
                    **texts.tokens(i),
                    **(several_layers(entries) if self._several_layers else entries[0]),
                }
        return [
            Explained(self._target.prediction(prediction, instance), explanation)
            for prediction, instance, explanation in zip(batch.predictions, instances, explanations)
        ]

    def batch(self, instances: List[Instance]) -> Tuple[Dict[str, Any], TextLayout]:
        """Prepared instances as the model's padded tensors, and where in them their texts are."""
        tensors = batch_tensors(self._model, instances)
        texts = [self.indexed(tensors, name) for name in text_fields(instances[0])]
        return tensors, TextLayout.of(self._model, self.transformer, texts)

    def indexed(self, tensors: Dict[str, Any], name: str) -> Dict[str, torch.Tensor]:
        """What the transformer's indexer made of a batch's text field."""
        return tensors[name][self._indexer_name]

    def _states_of_masked(
        self, instances: List[Instance]
    ) -> Tuple[Dict[int, torch.Tensor], torch.Tensor]:
        """Instances' states with all but special tokens masked; see `MaskedStates`."""
        tensors = batch_tensors(self._model, instances)
        special = torch.tensor(sorted(self.special_ids))
        texts = []
        for name in text_fields(instances[0]):
            indexed = self.indexed(tensors, name)
            ids = indexed["token_ids"]
            kept = (ids.unsqueeze(-1) == special.to(ids.device)).any(-1)
            indexed["token_ids"] = ids.masked_fill(~kept, self._mask_id)
            texts.append(indexed)
        layout = TextLayout.of(self._model, self.transformer, texts)
        inputs = layout.inputs(sorted(self.special_ids))
        return self._states(tensors, layout), inputs.mask

    def _states(self, tensors: Dict[str, Any], layout: TextLayout) -> Dict[int, torch.Tensor]:
        """h_l of each layer, float32, from a forward pass without a graph."""

        def forward() -> Dict[str, Any]:
            with without_cache(self.hf_layers.transformer):
                return self._model(**tensors)

        with metrics_preserved(self._model):
            captured = capture(
                self._model,
                self._taps,
                mixed(forward, self._model, self._autocast),
                lambda outputs: torch.zeros(0, 1),
                self.hf_layers.word_embeddings,
                gradients=False,
            )
        runs = layout.runs(captured.token_ids)
        return {
            layer: layout.joined([states[run] for run in runs]).float()
            for layer, states in captured.hidden_states.items()
        }

    def _received(
        self, inputs: Inputs, contributions: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Each token's score, and the positions that gave it most with the amounts.

        `contributions[b, n, i]` is what position n hands to position i.
        """
        if inputs.words is None:
            scores = token_scores(contributions.sum(1), inputs.special, self._special_tokens)
        else:
            contributions = of_words(
                contributions, inputs.words, inputs.token_count, self._word_aggregation
            )
            scores = contributions.sum(1)
        return (scores, *sources(contributions))


def _confidence(explained: Explained) -> float:
    """Of several windows of a text, the one with the best answer counts."""
    return explained.prediction.get("best_span_scores", 0.0)


def _autocast_type(name: Optional[str], model: Model) -> Optional[torch.dtype]:
    if name is None:
        return None
    if name not in AUTOCAST:
        raise ConfigurationError(f"autocast must be one of {AUTOCAST}; got {name!r}")
    if model._get_prediction_device() < 0 and torch.__version__.startswith("1."):
        # It knows no float16, and fails to differentiate some models in bfloat16.
        raise ConfigurationError(
            f'autocast on a CPU needs torch 2 (the README\'s "Install"); this is {torch.__version__}'
        )
    return getattr(torch, name)


def _layer_indices(layer: Union[int, str, List[int]], last: int) -> List[int]:
    if layer == "all":
        return list(range(last + 1))
    chosen = layer if isinstance(layer, list) else [layer]
    if not chosen or not all(type(index) is int and -last - 1 <= index <= last for index in chosen):
        raise ConfigurationError(
            f"layer must be an index from 0 (the embedding output) to {last} (the last block's output), or "
            f'from -1 down to {-last - 1}, a list of these, or "all"; got {layer!r}'
        )
    return list(dict.fromkeys(index % (last + 1) for index in chosen))
