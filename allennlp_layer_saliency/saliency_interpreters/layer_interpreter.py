from typing import List, NamedTuple, Optional, Tuple, Union

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.data.fields import TextField
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.allennlp_access import (
    Folding,
    batch_tensors,
    check_has_words,
    label_names,
    predictions,
    special_ids,
    text_fields,
    tokens_and_offsets,
    transformer_indexer,
    without_labels,
)
from allennlp_layer_saliency.core.capture import Capture, capture
from allennlp_layer_saliency.core.explanation import LayerExplanation
from allennlp_layer_saliency.core.scoring import check_special_tokens
from allennlp_layer_saliency.hf_models import find_transformer, layer_taps, max_positions
from allennlp_layer_saliency.saliency_interpreters.output import layer_to_json, several_layers
from allennlp_layer_saliency.saliency_interpreters.target import Target

# Word pieces per forward pass, padding included.
MAX_PIECES = 4096


class Inputs(NamedTuple):
    """
    A padded batch as the core wants it.

    `token_ids`, `mask` (true at real positions) and `special` (true at special tokens) have shape
    (batch, positions).
    """

    token_ids: torch.Tensor
    mask: torch.Tensor
    special: torch.Tensor


class Explained(NamedTuple):
    """The model's prediction for an instance and its explanation, both ready for JSON."""

    prediction: JsonDict
    explanation: JsonDict


class LayerInterpreter(SaliencyInterpreter):
    """
    What the layer interpreters share: from instances through one capture to JSON.

    # Parameters

    predictor : `Predictor`
    layer : `Union[int, str, List[int]]`
        Counted as in `hidden_states`: 0 is the embedding output, L or -1 the last block's output. A
        list, or "all", explains several layers from one backward pass.
    target : `str`
        The explained score: "logit" or "log-probability".
    target_class : `Union[str, int]`, optional
        The explained class by label or index. Left out: the predicted one.
    contrast_class : `Union[str, int]`, optional
        A class whose score is subtracted: what speaks for the one rather than the other.
    special_tokens : `str`
        "zero": they take part and then score 0. "keep": they keep their score. "exclude": no other
        position may give them anything.
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    """

    def __init__(
        self,
        predictor: Predictor,
        layer: Union[int, str, List[int]],
        target: str,
        target_class: Optional[Union[str, int]],
        contrast_class: Optional[Union[str, int]],
        special_tokens: str,
        transformer: Optional[str],
    ) -> None:
        super().__init__(predictor)
        self._model = predictor._model
        self._reader = predictor._dataset_reader
        self._special_tokens = special_tokens
        self._indexer_name, self._indexer = transformer_indexer(self._reader)
        self._tokenizer = self._indexer._tokenizer
        try:
            check_special_tokens(special_tokens)
            self._transformer = find_transformer(self._model, transformer)
            taps = layer_taps(self._transformer)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        self._last_layer = len(taps) - 1
        self._layers = _layer_indices(layer, self._last_layer)
        self._taps = {index: taps[index] for index in self._layers}
        self._several_layers = not isinstance(layer, int)
        self._target = Target.of(target, target_class, contrast_class, label_names(self._model))
        self._special_ids = special_ids(self._tokenizer)

    def saliency_interpret_from_json(self, inputs: JsonDict) -> JsonDict:
        """Explain one input: `{"instance_1": {"grad_input_1": [...], ...}}`."""
        return self.saliency_interpret_batch_json([inputs])[0]

    def saliency_interpret_batch_json(self, inputs: List[JsonDict]) -> List[JsonDict]:
        """Explain several inputs; the results are in their order."""
        return self.saliency_interpret_batch_instance(
            [self.predictor._json_to_instance(line) for line in inputs]
        )

    def saliency_interpret_batch_instance(self, instances: List[Instance]) -> List[JsonDict]:
        """Explain several instances; the results are in their order."""
        return [explained.explanation for explained in self.explain(instances)]

    def explain(self, instances: List[Instance]) -> List[Explained]:
        """
        The model's predictions and their explanations, from the same forward passes, in order.

        # Raises

        `ConfigurationError`
            If an instance can't be explained; the message says why.
        """
        fields = [self.check(instance) for instance in instances]
        results: List[Optional[Explained]] = [None] * len(instances)
        for chosen in _batches([len(field.tokens) for field in fields], MAX_PIECES):
            explained = self._explain_batch(
                [without_labels(instances[i]) for i in chosen], [fields[i] for i in chosen]
            )
            for index, result in zip(chosen, explained):
                results[index] = result
        return results  # type: ignore[return-value]

    def check(self, instance: Instance) -> TextField:
        """
        The instance's only text, if it can be explained.

        # Raises

        `ConfigurationError`
            If it is empty, longer than the model can read, or not the only one.
        """
        fields = text_fields(instance)
        if len(fields) != 1:
            raise ConfigurationError(
                f"{type(self).__name__} explains instances with one text field; this one has "
                f"{', '.join(fields) or 'none'}"
            )
        (field,) = fields.values()
        check_has_words(field, self._special_ids)
        # The embedder folds longer texts into segments of the indexer's max_length.
        longest = min(len(field.tokens), self._indexer._max_length or len(field.tokens))
        room = max_positions(self._transformer.config)
        if room is not None and longest > room:
            raise ConfigurationError(
                f"the text has {len(field.tokens)} word pieces; the model has room for {room}: shorten it, "
                f'set "max_length": {room} on the token indexer and the embedder to fold it, or on the '
                "dataset reader's tokenizer to cut it off"
            )
        return field

    def _explain_layer(
        self,
        inputs: Inputs,
        hidden_states: torch.Tensor,
        gradients: torch.Tensor,
        layer: int,
    ) -> LayerExplanation:
        """
        Explain a batch at one layer.

        `hidden_states` h_l and `gradients` D_l are float32, of shape (batch, positions, hidden).
        """
        raise NotImplementedError

    def _explain_batch(self, instances: List[Instance], fields: List[TextField]) -> List[Explained]:
        tensors = batch_tensors(self._model, self._reader, instances)
        (field_name,) = text_fields(instances[0])
        indexed = tensors[field_name][self._indexer_name]
        mask = indexed["mask"]
        folding = Folding.of(self._model, self._transformer, indexed)
        token_ids = folding.undo(indexed["token_ids"].unsqueeze(-1).double()).squeeze(-1).long()
        special_ids = torch.tensor(
            sorted(self._special_ids), dtype=torch.long, device=token_ids.device
        )
        special = (token_ids.unsqueeze(-1) == special_ids).any(-1) & mask
        inputs = Inputs(token_ids=token_ids, mask=mask, special=special)
        try:
            captured = capture(
                self._model, self._taps, lambda: self._model(**tensors), self._target.score
            )
            layers = [
                self._explain_layer(inputs, *_as_float(captured, layer, mask, folding), layer)
                for layer in self._layers
            ]
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        classes = self._target.classes(captured.outputs).tolist()
        targets = [
            self._target.describe(index, score)
            for index, score in zip(classes, captured.scores.tolist())
        ]
        made = predictions(self._model, captured.outputs, len(instances))
        per_layer = [layer_to_json(layer, fields, self._tokenizer) for layer in layers]
        explained = []
        for i, (field, target) in enumerate(zip(fields, targets)):
            entries = [{**entries[i], "target": target} for entries in per_layer]
            instance = several_layers(entries) if self._several_layers else entries[0]
            text = tokens_and_offsets(field, self._special_ids)
            explained.append(Explained(made[i], {"instance_1": {**text, **instance}}))
        return explained


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


def _batches(lengths: List[int], max_pieces: int) -> List[List[int]]:
    """Indices in batches of similar length, each of at most `max_pieces` with padding, or of one."""
    batches: List[List[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= max_pieces:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _as_float(
    captured: Capture, layer: int, mask: torch.Tensor, folding: Folding
) -> Tuple[torch.Tensor, torch.Tensor]:
    """h_l and D_l in float32, one row per text, checked."""
    hidden_states = folding.undo(captured.hidden_states[layer])
    gradients = folding.undo(captured.gradients[layer])
    if hidden_states.shape[:2] != mask.shape:
        raise ValueError(
            f"layer {layer} has states of shape {tuple(hidden_states.shape[:2])} (batch, positions), the "
            f"text's word pieces have shape {tuple(mask.shape)}: this model rearranges its input"
        )
    real = mask.unsqueeze(-1)
    hidden_states = hidden_states.float().masked_fill(~real, 0.0)
    gradients = gradients.float().masked_fill(~real, 0.0)
    if not (torch.isfinite(hidden_states).all() and torch.isfinite(gradients).all()):
        raise ValueError(f"the model gives NaN or infinite values at layer {layer} for this input")
    return hidden_states, gradients
