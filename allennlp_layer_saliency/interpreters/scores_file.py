"""Scores that were made elsewhere, to be compared and shown like any others."""

import json
from typing import Any, Dict, List, Tuple

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.core.scoring import normalised
from allennlp_layer_saliency.files import check_is_file
from allennlp_layer_saliency.models.allennlp import text_fields
from allennlp_layer_saliency.output_line import output_line


@SaliencyInterpreter.register("scores-file")
class ScoresFile(SaliencyInterpreter):
    """
    Gives each text the scores that a file has for its tokens.

    Each line is a JSON object: either `tokens` and `scores` of a text, as the model's tokenizer writes them,
    special tokens included; or what `allennlp predict --predictor saliency` wrote, of texts explained at one
    layer. A text is found by its tokens, in whatever order the lines are; lines with an `error` are left out.

    Registered as a `SaliencyInterpreter` with name "scores-file".

    # Parameters

    predictor : `Predictor`
    path : `str`
        UTF-8.

    # Raises

    `ConfigurationError`
        If there is no such file, or a line is none of the two.
    """

    def __init__(self, predictor: Predictor, path: str) -> None:
        super().__init__(predictor)
        check_is_file(path, "scores-file")
        self._path = path
        self._scores: Dict[Tuple[str, ...], List[float]] = {}
        with open(path, encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    self._add(number, line)

    def saliency_interpret_from_json(self, inputs: JsonDict) -> JsonDict:
        """
        # Raises

        `ConfigurationError`
            If the file has no scores for a text.
        """
        explanation = {}
        instances = self.predictor.json_to_labeled_instances(inputs)
        for number, instance in enumerate(instances, start=1):
            entry: JsonDict = {}
            for i, field in enumerate(text_fields(instance).values(), start=1):
                scores = self._scores.get(tuple(token.text or "" for token in field.tokens))
                if scores is None:
                    raise ConfigurationError(f"{self._path} has no scores for the tokens of this text")
                entry[f"grad_input_{i}"] = normalised(scores)
                if min(scores) < 0:
                    entry[f"signed_{i}"] = scores
            explanation[f"instance_{number}"] = entry
        return explanation

    def _add(self, number: int, line: str) -> None:
        try:
            content = json.loads(line)
            if "error" in content:
                return
            tokens, scores = _scored(content)
            if len(tokens) != len(scores):
                raise ValueError(f"{len(scores)} scores for {len(tokens)} tokens")
            self._scores[tuple(map(str, tokens))] = [float(score) for score in scores]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"scores-file: {self._path}, line {number}: tokens and scores of one text are wanted, or "
                f"what the saliency predictor wrote ({type(error).__name__}: {error})"
            ) from error


def _scored(content: Any) -> Tuple[List[str], List[float]]:
    if "scores" in content:
        return content["tokens"], content["scores"]
    (instance,) = output_line(content).instances.values()
    (text,) = instance.texts
    return text.tokens, text.scores
