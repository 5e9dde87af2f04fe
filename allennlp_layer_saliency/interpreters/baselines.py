"""What every method should beat."""

from typing import List, Optional, Tuple

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.core.capture import capture
from allennlp_layer_saliency.core.paths import seeded
from allennlp_layer_saliency.core.scoring import normalised
from allennlp_layer_saliency.interpreters.targets import as_target
from allennlp_layer_saliency.models.allennlp import metrics_preserved, model_of, text_fields
from allennlp_layer_saliency.models.huggingface import attentions
from allennlp_layer_saliency.models.text_reader import Batch, TextReader


@SaliencyInterpreter.register("random")
class RandomSaliency(SaliencyInterpreter):
    """
    Uniform random scores, which depend on the seed and the tokens only.

    Registered as a `SaliencyInterpreter` with name "random".

    # Parameters

    predictor : `Predictor`
    seed : `int`, optional (default = `0`)
    """

    def __init__(self, predictor: Predictor, seed: int = 0) -> None:
        super().__init__(predictor)
        self.seed = seed

    def saliency_interpret_from_json(self, inputs: JsonDict) -> JsonDict:
        explanation = {}
        instances = self.predictor.json_to_labeled_instances(inputs)
        for number, instance in enumerate(instances, start=1):
            explanation[f"instance_{number}"] = {
                f"grad_input_{i}": self._scores([token.text or "" for token in field.tokens])
                for i, field in enumerate(text_fields(instance).values(), start=1)
            }
        return explanation

    def _scores(self, tokens: List[str]) -> List[float]:
        generator = seeded(self.seed, tokens)
        return normalised(torch.rand(len(tokens), generator=generator).tolist())


@SaliencyInterpreter.register("attention-rollout")
class AttentionRollout(SaliencyInterpreter):
    """
    Attention rollout (Abnar & Zuidema, ACL 2020): the product over blocks of (A + I) / 2, A the mean of
    a block's attention heads. A token's score is its share in the position that the model's output is
    computed from (the first of most encoders, the last of most decoders), or its mean share in them if there
    are several. It explains no class.

    Registered as a `SaliencyInterpreter` with name "attention-rollout".

    # Parameters

    predictor : `Predictor`
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    """

    def __init__(self, predictor: Predictor, transformer: Optional[str] = None) -> None:
        super().__init__(predictor)
        self._target = as_target("logit").of(model_of(predictor), None, None)
        self._texts = TextReader(predictor, transformer)

    def saliency_interpret_from_json(self, inputs: JsonDict) -> JsonDict:
        explanation = {}
        instances = self.predictor.json_to_labeled_instances(inputs)
        for number, instance in enumerate(instances, start=1):
            (prepared,) = self._texts.prepare([instance]).instances
            batch = self._texts.batch([prepared])
            if len(batch.layout.texts) > 1 or len(batch.layout.texts[0].rows) > 1:
                raise ConfigurationError(
                    "attention-rollout is for one text, which the transformer reads in one piece"
                )
            words, tokens = batch.inputs.words, batch.inputs.token_count
            attention, read = self._traced(batch)
            scores = rollout(attention)[read].mean(0)
            if words is not None:
                by_word = scores.new_zeros(tokens + 1)
                # Pieces of no word, such as special tokens, have -1: the last place, which is left out.
                scores = by_word.index_add(0, words[0] % len(by_word), scores)[:-1]
            explanation[f"instance_{number}"] = {"grad_input_1": normalised(scores.tolist())}
        return explanation

    def _traced(self, batch: Batch) -> Tuple[torch.Tensor, torch.Tensor]:
        """
        Each block's attention, the mean over its heads, and at which positions the last layer's states
        matter to the model's output. Shapes: (blocks, positions, positions), (positions,).
        """
        texts, target = self._texts, self._target
        with metrics_preserved(texts.model), attentions(texts.transformer) as found:
            captured = capture(
                texts.model,
                {0: texts.hf_layers.taps[-1]},
                lambda: target.forward(batch.tensors),
                lambda outputs: target.logits(outputs).float().sum((1, 2)).unsqueeze(0),
            )
        if len(found) != 1:
            raise ConfigurationError(f"{type(texts.transformer).__name__} gives no attentions of its blocks")
        attention = torch.stack([of_block[0].detach().float().mean(0) for of_block in found[0]])
        (gradients,) = captured.gradients[0][0]
        return attention, gradients[0].abs().sum(-1) > 0


def rollout(attention: torch.Tensor) -> torch.Tensor:
    """
    # Parameters

    attention : `torch.Tensor`
        Each block's, from the first on; rows sum to 1. Shape: (blocks, positions, positions).

    # Returns

    `torch.Tensor`
        How much of each position, in its columns, reaches each position of the last block's output, in
        its rows. Shape: (positions, positions).
    """
    identity = torch.eye(attention.size(1), device=attention.device, dtype=attention.dtype)
    product = identity
    for of_block in attention:
        product = (of_block + identity) / 2 @ product
    return product
