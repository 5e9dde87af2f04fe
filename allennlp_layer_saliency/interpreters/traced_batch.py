"""A batch of instances after its one run through the model, and what lies above each of its layers."""

from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.models import Model
from torch import Tensor

from allennlp_layer_saliency.core.capture import capture, mixed, recorded
from allennlp_layer_saliency.core.paths import LayerState
from allennlp_layer_saliency.core.resume import resume
from allennlp_layer_saliency.interpreters.targets import Choice, ModelTarget
from allennlp_layer_saliency.models.allennlp import metrics_preserved, predictions, repeated
from allennlp_layer_saliency.models.huggingface import Layers, without_cache
from allennlp_layer_saliency.models.text_layout import Inputs, TextLayout


class TracedBatch:
    """
    # Parameters

    model : `Model`
    hf_layers : `Layers`
        Of the model's transformer.
    target : `ModelTarget`
    layers : `Sequence[int]`
        The layers that are looked at.
    instances : `List[Instance]`
    tensors : `Dict[str, Any]`
        The instances as a batch.
    layout : `TextLayout`
    inputs : `Inputs`
        As `layout` gives it.
    resumes : `bool`
        Whether the model is to run again from other states of a layer on, rather than to be
        differentiated at the layers' own.
    max_pieces : `int`
        Word pieces that may then go through the model together.
    autocast : `torch.dtype`, optional
        What the model runs in where autocasting allows it.

    # Attributes

    predictions : `List[JsonDict]`
        The model's, for each instance.
    choices : `List[List[Choice]]`
        For each instance the scores that are explained.
    scores : `torch.Tensor`
        Their values. Shape: (targets, batch).

    # Raises

    `ValueError`
        If the model does not read the texts as they are.
    """

    def __init__(
        self,
        model: Model,
        hf_layers: Layers,
        target: ModelTarget,
        layers: Sequence[int],
        instances: List[Instance],
        tensors: Dict[str, Any],
        layout: TextLayout,
        inputs: Inputs,
        resumes: bool,
        max_pieces: int,
        autocast: Optional[torch.dtype] = None,
    ) -> None:
        self._model = model
        self._taps = hf_layers.taps
        self._transformer = hf_layers.transformer
        self._target = target
        self._tensors = tensors
        self._layout = layout
        self._inputs = inputs
        self._autocast = autocast
        self._copies = max(1, max_pieces // inputs.mask.numel())
        self.predictions: List[JsonDict] = []
        self.choices: List[List[Choice]] = []
        self._finite: List[Tensor] = []
        self._messages: List[str] = []

        def score(outputs: Dict[str, Any]) -> Tensor:
            public = target.public(outputs)
            self.predictions = predictions(model, public, len(instances))
            self.choices = target.choose(outputs, self.predictions, instances)
            self._terms = target.terms(self.choices, inputs.mask.device)
            return target.scores(outputs, self._terms)

        with ExitStack() as stack:
            stack.enter_context(metrics_preserved(model))
            below = {tap.module: None for tap in self._taps[: max(layers) + 1]} if resumes else {}
            self._recorded = stack.enter_context(recorded(*below))
            captured = capture(
                model,
                {layer: self._taps[layer] for layer in layers},
                mixed(lambda: self._forward(tensors), model, autocast),
                score,
                hf_layers.word_embeddings,
                gradients=not resumes,
            )
        self.scores = captured.scores
        self._hidden_states = captured.hidden_states
        self._gradients = captured.gradients
        self._runs = layout.runs(captured.token_ids)

    def at(self, layer: int, masked_states: Callable[[], Tensor]) -> LayerState:
        """One of the layers, given how to come by its states for masked inputs."""
        return LayerState(
            hidden_states=self._joined(self._hidden_states[layer], layer),
            token_ids=self._inputs.token_ids,
            mask=self._inputs.mask,
            scores=self.scores,
            gradients=[self._joined(target[layer], layer) for target in self._gradients],
            resume=lambda states, gradients: self._resume(layer, states, gradients),
            expect_finite=self._expect_finite,
            masked_states=masked_states,
            copies=self._copies,
        )

    def _resume(self, layer: int, states: Tensor, gradients: bool) -> Tuple[Tensor, List[Tensor]]:
        copies = len(states) // len(self._inputs.mask)
        native = self._hidden_states[layer]
        in_order = self._layout.separated(states, [native[run] for run in self._runs])
        runs = [in_order[self._runs.index(run)] for run in range(len(native))]
        tensors = repeated(self._tensors, copies)
        with metrics_preserved(self._model):
            scores, found = resume(
                self._model,
                self._taps[: layer + 1],
                self._recorded,
                runs,
                copies,
                mixed(lambda: self._forward(tensors), self._model, self._autocast),
                lambda outputs: self._target.scores(outputs, self._terms),
                gradients,
            )
        return scores, [self._joined(target, layer) for target in found]

    def _forward(self, tensors: Dict[str, Any]) -> Dict[str, Any]:
        with without_cache(self._transformer):
            return self._target.forward(tensors)

    def _joined(self, states: List[Tensor], layer: int) -> Tensor:
        """States or gradients of all runs, in float32, 0 at padding."""
        joined = self._layout.joined([states[run] for run in self._runs]).float()
        mask = self._inputs.mask.repeat(len(joined) // len(self._inputs.mask), 1)
        joined = joined.masked_fill(~mask.unsqueeze(-1), 0.0)
        self._expect_finite(
            joined, f"the model gives NaN or infinite values at layer {layer} for this input"
        )
        return joined

    def _expect_finite(self, values: Tensor, message: str) -> None:
        self._finite.append(torch.isfinite(values).all())
        self._messages.append(message)

    def check(self) -> None:
        """
        Ask, once for all layers, whether everything was finite that had to be.

        # Raises

        `ValueError`
            If not, with the first reason.
        """
        for finite, message in zip(torch.stack(self._finite).tolist(), self._messages):
            if not finite:
                raise ValueError(message)
