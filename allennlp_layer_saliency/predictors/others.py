"""Explanations by interpreters that only know `saliency_interpret_from_json`, such as AllenNLP's own."""

import math
from contextlib import ExitStack, contextmanager
from typing import Iterator, Set

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict, sanitize
from allennlp.data import Instance
from allennlp.interpret.saliency_interpreters import (
    IntegratedGradient,
    SaliencyInterpreter,
    SimpleGradient,
    SmoothGradient,
)
from allennlp.predictors import Predictor

from allennlp_layer_saliency.core.capture import preserved
from allennlp_layer_saliency.display import Explanation
from allennlp_layer_saliency.interpreters.base import Explained
from allennlp_layer_saliency.models.allennlp import (
    check_has_words,
    dataset_reader_of,
    forget_offsets,
    metrics_preserved,
    model_of,
    text_fields,
    tokens_and_offsets,
)
from allennlp_layer_saliency.models.huggingface import is_own_hook
from allennlp_layer_saliency.predictors.labelled import labelled


def numbers_from_last(interpreter: SaliencyInterpreter) -> bool:
    """Whether an interpreter numbers the texts of an instance from the last one, as AllenNLP's do."""
    return isinstance(interpreter, (IntegratedGradient, SimpleGradient, SmoothGradient))


def explained_by_other(
    interpreter: SaliencyInterpreter,
    inner: Predictor,
    instance: Instance,
    line: JsonDict,
    special_ids: Set[int],
) -> Explained:
    """
    # Parameters

    interpreter : `SaliencyInterpreter`
    inner : `Predictor`
        The interpreter's.
    instance : `Instance`
        What it makes of the line.
    line : `JsonDict`
    special_ids : `Set[int]`
        Of the special tokens that the predictor's reader adds.

    # Raises

    `ConfigurationError`
        If the text is empty, or the interpreter does not give a score for each token.
    """
    fields = text_fields(instance)
    for name, field in fields.items():
        check_has_words(name, field, special_ids)
    with _left_as_it_was(inner):
        dataset_reader_of(inner).apply_token_indexers(instance)
        outputs = model_of(inner).forward_on_instance(instance)
        with labelled(inner, instance, outputs):
            explanation = interpreter.saliency_interpret_from_json(line)
    for entry in explanation.values():
        for key, scores in entry.items():
            # The built-ins divide by a norm that can be 0; all-zero scores stay all-zero.
            if key.startswith("grad_input_") and all(map(math.isnan, scores)):
                entry[key] = [0.0] * len(scores)
        in_order = list(fields.values())
        if numbers_from_last(interpreter):
            in_order.reverse()
        for number, field in enumerate(in_order, start=1):
            scores = entry.get(f"grad_input_{number}", [])
            if len(scores) != len(field.tokens):
                raise ConfigurationError(
                    f"{type(interpreter).__name__} gave {len(scores)} scores for {len(field.tokens)} tokens"
                )
            entry.update(tokens_and_offsets(field, special_ids, number))
    return Explained(sanitize(outputs), Explanation(explanation))


@contextmanager
def _left_as_it_was(inner: Predictor) -> Iterator[None]:
    """The built-ins change flags, gradients and metrics, and leave hooks behind when they raise."""
    with ExitStack() as stack:
        stack.enter_context(preserved(model_of(inner), is_own_hook))
        stack.enter_context(metrics_preserved(model_of(inner)))
        stack.callback(forget_offsets, inner)
        yield
