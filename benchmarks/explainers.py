"""What is timed: ours, AllenNLP's, Captum's, and bare torch."""

from copy import deepcopy
from typing import Any, Callable, Dict, List

import captum.attr
import torch
from allennlp.common import Params
from allennlp.data.batch import Batch
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor
from transformers import AutoModelForMaskedLM

from allennlp_layer_saliency.predictors import SaliencyPredictor
from benchmarks.timing import Row

# What the figures at layer 9 are for: no list of decoded words, which no built-in has.
BATCH = {"layer": 9, "decoded_top_k": 0}

# The least that a path takes.
MIDPOINT = {"layer": 1, "aggregation": {"type": "integrated-gradients", "steps": 1, "rule": "midpoint"}}


def interpreter(predictor: Predictor, **config: Any) -> SaliencyInterpreter:
    # Params takes what is nested out of the dictionary that it is given.
    return SaliencyInterpreter.from_params(Params(deepcopy(config)), predictor=predictor)


def decoded(predictor: Predictor, **config: Any) -> SaliencyInterpreter:
    """With one gradient and a τ of 10, unless `config` says otherwise."""
    settings = {"aggregation": "gradient-x-input", "tau": 10, **config}
    return interpreter(predictor, type="decoded-layer-saliency", **settings)


def undecoded(predictor: Predictor, **config: Any) -> SaliencyInterpreter:
    return interpreter(predictor, type="layer-saliency", **{"aggregation": "gradient-x-input", **config})


def through_predictor(
    predictor: Predictor, lines: List[Dict[str, str]], batch_size: int = 64, **config: Any
) -> Callable[[], None]:
    """As `allennlp predict --predictor saliency` runs it, reading and writing lines included."""
    saliency = SaliencyPredictor(predictor._model, predictor._dataset_reader, config, "text_classifier")

    def run() -> None:
        for start in range(0, len(lines), batch_size):
            for output in saliency.predict_batch_json(lines[start : start + batch_size]):
                assert "error" not in output, output
                saliency.dump_line(output)

    return run


def first(output: Any) -> torch.Tensor:
    """A block's state; versions of transformers before 5 return a tuple."""
    return output[0] if isinstance(output, tuple) else output


class Bare:
    """The classifier of `benchmarks.models` in plain torch, without AllenNLP's or our code."""

    def __init__(self, predictor: Predictor, lines: List[Dict[str, str]]) -> None:
        self.model = predictor._model
        instances = [predictor._json_to_instance(line) for line in lines]
        for instance in instances:
            predictor._dataset_reader.apply_token_indexers(instance)
            instance.index_fields(self.model.vocab)
        tokens = Batch(instances).as_tensor_dict()["tokens"]["tokens"]
        device = next(self.model.parameters()).device
        self.ids, self.mask = tokens["token_ids"].to(device), tokens["mask"].to(device)
        self.transformer = self.model._text_field_embedder.token_embedder_tokens.transformer_model
        self.blocks = self.transformer.encoder.layer

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """For Captum, which asks for a function."""
        mask = self.mask[:1].expand(len(ids), -1)
        hidden = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.classify(hidden)

    def classify(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.model._classification_layer(self.model._feedforward(hidden[:, 0]))

    def lower(self, layer: int) -> torch.Tensor:
        """h_l, without a graph."""
        with torch.no_grad():
            hidden = self.transformer.embeddings(input_ids=self.ids)
            for block in self.blocks[:layer]:
                hidden = first(block(hidden, self._attention()))
        return hidden

    def top(self, hidden: torch.Tensor, layer: int) -> torch.Tensor:
        """The logits, from h_l of as many copies of the texts, without a graph."""
        attention = self._attention().repeat(len(hidden) // len(self.ids), 1, 1, 1)
        with torch.no_grad():
            for block in self.blocks[layer:]:
                hidden = first(block(hidden, attention))
            return self.classify(hidden)

    def upper(self, hidden: torch.Tensor, layer: int) -> torch.Tensor:
        """The gradient of the predicted classes' logits at h_l."""
        leaf = hidden.detach().requires_grad_()
        hidden = leaf
        # Without parameters that want a gradient, autograd saves less.
        self.model.requires_grad_(False)
        for block in self.blocks[layer:]:
            hidden = first(block(hidden, self._attention()))
        gradient = torch.autograd.grad(self.classify(hidden).max(-1).values.sum(), leaf)[0]
        self.model.requires_grad_(True)
        return gradient

    def floor(self, layer: int, steps: int, passes: int = 0) -> torch.Tensor:
        """The least that so many gradients above a layer and, together, forward passes there need; h_l."""
        hidden = self.lower(layer)
        self.top(hidden, layer)
        if passes:
            self.top(hidden.repeat(passes, 1, 1), layer)
        for _ in range(steps):
            self.upper(hidden, layer)
        return hidden

    def _attention(self) -> torch.Tensor:
        mask = self.mask[:, None, None, :].float()
        return (1.0 - mask) * torch.finfo(torch.float32).min


class Head:
    """The LM head's matrix products on so many positions; no softmax, no top-τ selection."""

    def __init__(self, folder: str) -> None:
        model = AutoModelForMaskedLM.from_pretrained(folder)
        self.transform = model.lm_head.dense.weight.detach()
        self.projection = model.lm_head.decoder.weight.detach()

    def __call__(self, hidden: torch.Tensor, chunk: int = 333) -> None:
        with torch.no_grad():
            for rows in hidden.split(chunk):
                (rows @ self.transform.t()) @ self.projection.t()


def captum_of(bare: Bare, name: str, layer: int, **arguments: Any) -> Callable[[], torch.Tensor]:
    """A layer attribution of Captum, summed over hidden units, at the module that gives h_l."""
    module = bare.blocks[layer - 1] if layer else bare.transformer.embeddings
    attribution = getattr(captum.attr, name)(bare.logits, module)

    def run() -> torch.Tensor:
        with torch.no_grad():
            classes = bare.logits(bare.ids).argmax(-1)
        found = attribution.attribute(bare.ids, target=classes, **arguments)
        found = found[0] if isinstance(found, tuple) else found
        return found.sum(-1).detach()

    return run


def captum_steps(one: Bare) -> Dict[str, Row]:
    """Captum's layer integrated gradients of a text, from padding."""
    special = (one.ids == 0) | (one.ids == 2)
    padding = torch.where(special, one.ids, torch.ones_like(one.ids))
    return {
        f"Captum's LayerIntegratedGradients, embeddings, {steps} steps": Row(
            captum_of(one, "LayerIntegratedGradients", 0, baselines=padding, n_steps=steps), 1
        )
        for steps in (20, 50)
    }
