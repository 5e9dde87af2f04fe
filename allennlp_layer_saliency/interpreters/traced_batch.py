"""A batch of instances after its one run through the model, and what lies above each of its layers."""

from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Sequence, Tuple, Union

import torch
from allennlp.common.util import JsonDict
from torch import Tensor

from allennlp_layer_saliency.core.capture import capture, recorded
from allennlp_layer_saliency.core.paths import Baseline, LayerState
from allennlp_layer_saliency.core.resume import resume
from allennlp_layer_saliency.interpreters.masked_inputs import MaskedBatch
from allennlp_layer_saliency.interpreters.targets import Choice, ModelTarget
from allennlp_layer_saliency.models.allennlp import metrics_preserved, predictions, repeated
from allennlp_layer_saliency.models.text_reader import Batch, TextReader


class TracedBatch:
    """
    # Parameters

    texts : `TextReader`
    target : `ModelTarget`
    layers : `Sequence[int]`
        The layers that are looked at.
    batch : `Batch`
    resumes : `bool`
        Whether the model is to run again from other states of a layer on, rather than to be
        differentiated at the layers' own.

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
        texts: TextReader,
        target: ModelTarget,
        layers: Sequence[int],
        batch: Batch,
        resumes: bool,
    ) -> None:
        self._texts = texts
        self._taps = texts.hf_layers.taps
        self._target = target
        self._batch = batch
        self._copies = max(1, texts.budget.pieces // batch.inputs.mask.numel())
        self.predictions: List[JsonDict] = []
        self.choices: List[List[Choice]] = []
        self._finite: List[Tensor] = []
        self._messages: List[str] = []
        with ExitStack() as stack:
            stack.enter_context(metrics_preserved(texts.model))
            below = {tap.module: None for tap in self._taps[: max(layers) + 1]} if resumes else {}
            self._recorded = stack.enter_context(recorded(*below))
            captured = capture(
                texts.model,
                {layer: self._taps[layer] for layer in layers},
                lambda: texts.run(lambda: target.forward(batch.tensors)),
                self._chosen_scores,
                texts.hf_layers.word_embeddings,
                gradients=not resumes,
            )
        self.scores = captured.scores
        self._hidden_states = captured.hidden_states
        self._gradients = captured.gradients
        self._runs = batch.layout.runs(captured.token_ids)

    def _chosen_scores(self, outputs: Dict[str, Any]) -> Tensor:
        """Which scores are explained depends on the outputs that they are part of."""
        instances, target = self._batch.instances, self._target
        self.predictions = predictions(self._texts.model, target.public(outputs), len(instances))
        self.choices = target.choose(outputs, self.predictions, instances)
        self._tensors = target.fixed(self._batch.tensors, outputs)
        self._terms = target.terms(self.choices, self._batch.inputs.mask.device)
        return target.scores(outputs, self._terms)

    def at(self, layer: int, masked: Callable[[], MaskedBatch]) -> LayerState:
        """One of the layers, given how to come by the masked inputs there."""

        def baseline() -> Baseline:
            found = masked()
            if found.logits is None:
                return Baseline(found.states)
            return Baseline(found.states, self._target.scores_of(found.logits, self._terms))

        return LayerState(
            hidden_states=self._joined(self._hidden_states[layer], layer),
            token_ids=self._batch.inputs.token_ids,
            mask=self._batch.inputs.mask,
            scores=self.scores,
            gradients=[self._joined(target[layer], layer) for target in self._gradients],
            resume=lambda states, gradients: self._resume(layer, states, gradients),
            expect_finite=self._expect_finite,
            masked=baseline,
            copies=self._copies,
        )

    def _resume(
        self, layer: int, states: Tensor, gradients: Union[bool, Sequence[int]]
    ) -> Tuple[Tensor, List[Tensor]]:
        size = len(self._batch.inputs.mask)
        copies = len(states) // size

        def scores_of(outputs: Dict[str, Any]) -> Tensor:
            scores = self._target.scores(outputs, self._terms)
            if isinstance(gradients, bool):
                return scores
            own = [scores[target].split(size)[copy] for copy, target in enumerate(gradients)]
            return torch.cat(own).unsqueeze(0)

        native = self._hidden_states[layer]
        in_order = self._batch.layout.separated(states, [native[run] for run in self._runs])
        runs = [in_order[self._runs.index(run)] for run in range(len(native))]
        tensors = repeated(self._tensors, copies)
        with metrics_preserved(self._texts.model):
            scores, found = resume(
                self._texts.model,
                self._taps[: layer + 1],
                self._recorded,
                runs,
                copies,
                lambda: self._texts.run(lambda: self._target.forward(tensors)),
                scores_of,
                gradients is not False,
            )
        return scores, [self._joined(target, layer) for target in found]

    def _joined(self, states: List[Tensor], layer: int) -> Tensor:
        """States or gradients of all runs, in float32, 0 at padding."""
        joined = self._batch.layout.joined([states[run] for run in self._runs]).float()
        mask = self._batch.inputs.mask.repeat(len(joined) // len(self._batch.inputs.mask), 1)
        joined = joined.masked_fill(~mask.unsqueeze(-1), 0.0)
        self._expect_finite(joined, f"the model gives NaN or infinite values at layer {layer} for this input")
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
