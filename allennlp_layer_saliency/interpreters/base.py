from functools import partial
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.core.explanation import LayerExplanation
from allennlp_layer_saliency.core.paths import LayerState
from allennlp_layer_saliency.core.scoring import (
    check_special_tokens,
    check_word_aggregation,
    of_words,
    sources,
    token_scores,
)
from allennlp_layer_saliency.display import Explanation
from allennlp_layer_saliency.interpreters.aggregations import FeatureAggregation, stand_in_of
from allennlp_layer_saliency.interpreters.layers_file import LayersFile
from allennlp_layer_saliency.interpreters.masked_inputs import MaskedInputs
from allennlp_layer_saliency.interpreters.output import (
    OutputTexts,
    layer_to_json,
    several_layers,
)
from allennlp_layer_saliency.interpreters.targets import Target, as_target, target_type
from allennlp_layer_saliency.interpreters.traced_batch import TracedBatch
from allennlp_layer_saliency.models.allennlp import instances_of, model_of
from allennlp_layer_saliency.models.allennlp.settings import refuse_unknown
from allennlp_layer_saliency.models.text_layout import Inputs
from allennlp_layer_saliency.models.text_reader import Batch, Prepared, TextReader


class Explained(NamedTuple):
    """
    The model's prediction for an instance and its explanation, both ready for JSON.

    # Parameters

    prediction : `JsonDict`
    explanation : `Explanation`
    finite : `bool`
        Whether the explanation's numbers are known to be finite.
    """

    prediction: JsonDict
    explanation: Explanation
    finite: bool = False


class TransformerInterpreter(SaliencyInterpreter):
    """
    An interpreter of a model with a Hugging Face transformer.

    # Parameters

    predictor : `Predictor`
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    autocast : `str`, optional
        "bfloat16" or "float16": run the model in automatic mixed precision. Decoding stays in float32.

    # Attributes

    texts : `TextReader`

    # Raises

    `ConfigurationError`
        If the model can't be explained, or there is no setting of a name that is given.
    """

    def __init__(
        self,
        predictor: Predictor,
        transformer: Optional[str] = None,
        autocast: Optional[str] = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(type(self), unknown)
        super().__init__(predictor)
        target_type(model_of(predictor))  # refuses what has no single score
        self.texts = TextReader(predictor, transformer, autocast)


class LayerInterpreter(TransformerInterpreter):
    """
    What the layer interpreters share: from instances through one capture to JSON.

    # Parameters

    predictor : `Predictor`
    layer : `Union[int, str, List[int]]`, optional
        The layer l, counted as in `hidden_states`: 0 is the embedding output, L or -1 the last block's
        output. Left out: 0; L // 6 in models of 12 blocks or more that have a mask token. A list, or
        "all", explains several layers from one backward pass. "auto" takes the layer that `coherence`
        names.
    target : `Union[str, Dict[str, Any], Target]`, optional (default = `"logit"`)
        The explained score: "logit", "log-probability", or a registered `Target`.
    target_class : `Union[str, int]`, optional
        The explained class by label or index. Left out: the predicted one.
    contrast_class : `Union[str, int]`, optional
        A class whose score is subtracted: what speaks for the one rather than the other.
    special_tokens : `str`, optional (default = `"zero"`)
        "zero": they take part and then score 0. "keep": they keep their score. "exclude": no other
        position may give them anything.
    word_aggregation : `str`, optional (default = `"sum"`)
        For models that read words: a word's score is the "sum" or "mean" of its pieces' signed scores,
        or the one that is largest in absolute value ("max").
    coherence : `str`, optional
        layers.json of `allennlp saliency layers`, or the folder with it. Each layer's coherence is then
        part of the output, and a layer that decodes poorly is warned of.
    **kwargs
        As for `TransformerInterpreter`.

    # Attributes

    layers : `List[int]`
        Those that are explained.
    """

    # g, where the interpreter has one, and the id that masks in its baseline.
    _aggregation: Optional[FeatureAggregation] = None
    _stand_in: Optional[int] = None

    def __init__(
        self,
        predictor: Predictor,
        layer: Optional[Union[int, str, List[int]]] = None,
        target: Union[str, Dict[str, Any], Target] = "logit",
        target_class: Optional[Union[str, int]] = None,
        contrast_class: Optional[Union[str, int]] = None,
        special_tokens: str = "zero",
        word_aggregation: str = "sum",
        coherence: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(predictor, **kwargs)
        try:
            check_special_tokens(special_tokens)
            check_word_aggregation(word_aggregation)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        self._special_tokens = special_tokens
        self._word_aggregation = word_aggregation
        self._target = as_target(target).of(self.texts.model, target_class, contrast_class)
        last_layer = len(self.texts.hf_layers.taps) - 1
        known = None if coherence is None else LayersFile.read(coherence, last_layer)
        if layer == "auto":
            if known is None:
                raise ConfigurationError(
                    'layer "auto" needs `coherence`: the folder that `allennlp saliency layers` wrote'
                )
            layer = known.chosen
        if layer is None:
            # docs/results/search.md has the reasons; of models without a mask token nothing is known there.
            deep = last_layer >= 12 and self.texts.tokenizer.mask_token is not None
            layer = last_layer // 6 if deep else 0
        self.layers = _layer_indices(layer, last_layer)
        if known is not None:
            known.warn_of_poor(self.layers)
        self._coherence = {} if known is None else known.layers
        self._several_layers = not isinstance(layer, int)

    def _use(self, aggregation: FeatureAggregation) -> None:
        self._stand_in = stand_in_of(aggregation, self.texts)
        self._aggregation = aggregation

    def saliency_interpret_from_json(self, inputs: JsonDict) -> Explanation:
        """Explain one input: `{"instance_1": {"grad_input_1": [...], ...}}`, which displays itself."""
        return self.saliency_interpret_batch_json([inputs])[0]

    def saliency_interpret_batch_json(self, inputs: List[JsonDict]) -> List[Explanation]:
        """Explain several inputs; the results are in their order."""
        prepared = [self.texts.prepare(instances_of(self.predictor, line)) for line in inputs]
        return [explained.explanation for explained in self.explain(prepared)]

    def saliency_interpret_batch_instance(self, instances: List[Instance]) -> List[Explanation]:
        """Explain several instances; the results are in their order."""
        prepared = [self.texts.prepare([instance]) for instance in instances]
        return [explained.explanation for explained in self.explain(prepared)]

    def explain(self, inputs: List[Prepared]) -> List[Explained]:
        """
        The model's predictions and their explanations, from the same forward passes, in order.

        # Parameters

        inputs : `List[Prepared]`
            As `texts.prepare` makes them.

        # Raises

        `ConfigurationError`
            If an input can't be explained; the message says why.
        """
        flat = [instance for prepared in inputs for instance in prepared.instances]
        lengths = [length for prepared in inputs for length in prepared.lengths]
        results: List[Optional[Explained]] = [None] * len(flat)
        masked = MaskedInputs(self.texts, self._target, self.layers, flat, self._stand_in)
        for chosen, explained in self.texts.budget.run(
            lengths,
            lambda chosen: self._explain_batch(self.texts.batch([flat[i] for i in chosen]), masked),
            self._target.equal_lengths,
            one_by_one=self._one_by_one,
            copies=self._resumes,
        ):
            for i, result in zip(chosen, explained):
                results[i] = result
        in_order = iter(results)
        return [
            max((next(in_order) for _ in prepared.instances), key=_confidence)  # type: ignore
            for prepared in inputs
        ]

    @property
    def _one_by_one(self) -> bool:
        aggregation = self._aggregation is not None and self._aggregation.one_by_one
        return aggregation or self._target.one_by_one

    @property
    def _resumes(self) -> bool:
        return self._aggregation is not None and self._aggregation.resumes

    def _explain_layer(self, inputs: Inputs, at: LayerState, layer: int) -> List[LayerExplanation]:
        """Explain each target of a batch at one layer."""
        raise NotImplementedError

    def _explain_batch(self, batch: Batch, masked: MaskedInputs) -> List[Explained]:
        try:
            traced = TracedBatch(self.texts, self._target, self.layers, batch, self._resumes)
            of_masked = masked.of(batch)
            explained = {
                layer: self._explain_layer(batch.inputs, traced.at(layer, partial(of_masked, layer)), layer)
                for layer in self.layers
                if len(traced.scores)
            }
            if explained:
                traced.check()
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        except RuntimeError as error:
            if "not implemented for 'Half'" in str(error):
                raise ConfigurationError(
                    "this version of torch can't run a float16 model on a CPU; use a GPU "
                    "(`--cuda-device 0`), or call `model.float()`"
                ) from error
            if "could not create a primitive" in str(error):
                raise ConfigurationError(
                    f"{type(self.texts.model).__name__} can't run in mixed precision on this CPU; leave "
                    "`autocast` out"
                ) from error
            if "without overflow" in str(error):
                raise ConfigurationError(
                    f"{type(self.texts.transformer).__name__} can't run in mixed precision in this version "
                    "of transformers; leave `autocast` out"
                ) from error
            raise
        except TypeError as error:
            if "Does not support dtype torch.bfloat16" in str(error):
                raise ConfigurationError(
                    f"{type(self.texts.model).__name__} uses AllenNLP's masked softmax, which does not "
                    "support bfloat16; use float16 or float32"
                ) from error
            raise
        return self._as_json(batch, traced, explained)

    def _as_json(
        self, batch: Batch, traced: TracedBatch, explained: Dict[int, List[LayerExplanation]]
    ) -> List[Explained]:
        """`explained` has for each layer what was found of each target."""
        texts = OutputTexts(batch, self.texts.special_ids, self.texts.tokenizer)
        # For each layer, for each target, for each instance; not before the device has all of its work.
        per_layer = [
            [layer_to_json(of_target, texts, self._coherence.get(layer)) for of_target in of_layer]
            for layer, of_layer in explained.items()
        ]
        scores = traced.scores.tolist()
        checks = [one.is_finite() for of_layer in explained.values() for one in of_layer]
        finite = bool(torch.stack([traced.scores.isfinite().all(), *checks]).all())
        found = []
        for i, choices in enumerate(traced.choices):
            explanation = Explanation()
            for target, choice in enumerate(choices):
                described = {**choice.description, "score": scores[target][i]}
                entries = [{**of_layer[target][i], "target": described} for of_layer in per_layer]
                explanation[f"instance_{target + 1}"] = {
                    **texts.tokens(i),
                    **(several_layers(entries) if self._several_layers else entries[0]),
                }
            prediction = self._target.prediction(traced.predictions[i], batch.instances[i])
            found.append(Explained(prediction, explanation, finite))
        return found

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
            contributions = of_words(contributions, inputs.words, inputs.token_count, self._word_aggregation)
            scores = contributions.sum(1)
        return (scores, *sources(contributions))


def _confidence(explained: Explained) -> float:
    """Of several windows of a text, the one with the best answer counts."""
    return explained.prediction.get("best_span_scores", 0.0)


def _layer_indices(layer: Union[int, str, List[int]], last: int) -> List[int]:
    if layer == "all":
        return list(range(last + 1))
    chosen: List[Any] = [*layer] if isinstance(layer, list) else [layer]
    if not chosen or not all(type(index) is int and -last - 1 <= index <= last for index in chosen):
        raise ConfigurationError(
            f"layer must be an index from 0 (the embedding output) to {last} (the last block's output), or "
            f'from -1 down to {-last - 1}, a list of these, or "all"; got {layer!r}'
        )
    return list(dict.fromkeys(index % (last + 1) for index in chosen))
