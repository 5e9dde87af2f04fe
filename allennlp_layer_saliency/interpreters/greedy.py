"""What a ranking of tokens can reach at most, or nearly: the measure of all others. Slow, for reference."""

from typing import Dict, FrozenSet, List, Optional

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data import Instance
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.core.scoring import normalised
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions, Tokens
from allennlp_layer_saliency.models.allennlp import text_fields
from allennlp_layer_saliency.models.text_reader import TextReader


class GreedyRanking(SaliencyInterpreter):
    """
    Ranks tokens by asking the model: of n tokens about n²/2 forward passes. A token's score is the number of
    tokens that are ranked no higher, normalised.

    # Parameters

    predictor : `Predictor`
    perturbation : `str`, optional (default = `"mask"`)
        "mask" or "remove", as of `allennlp saliency compare`.
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.

    # Raises

    `ConfigurationError`
        If the model does not choose one class for an input, or its tokens can't be taken out.
    """

    def __init__(
        self, predictor: Predictor, perturbation: str = "mask", transformer: Optional[str] = None
    ) -> None:
        super().__init__(predictor)
        self._perturbed = PerturbedPredictions(TextReader(predictor, transformer), perturbation)
        if not self._perturbed.target.one_of_several:
            raise ConfigurationError("a greedy ranking is for models that choose one class for an input")

    def saliency_interpret_from_json(self, inputs: JsonDict) -> JsonDict:
        """Explain one input: `{"instance_1": {"grad_input_1": [...], ...}}`."""
        instances = self.predictor.json_to_labeled_instances(inputs)
        return {
            f"instance_{number}": self._explained(instance)
            for number, instance in enumerate(instances, start=1)
        }

    def _explained(self, instance: Instance) -> Dict[str, List[float]]:
        tokens = self._perturbed.tokens(instance)
        places = {token: len(tokens.tokens) - rank for rank, token in enumerate(self._ranked(tokens))}
        found, first = {}, 0
        for number, field in enumerate(text_fields(tokens.instance).values(), start=1):
            own = range(first, first + len(field.tokens))
            found[f"grad_input_{number}"] = normalised([float(places.get(token, 0)) for token in own])
            first += len(field.tokens)
        return found

    def _ranked(self, tokens: Tokens) -> List[int]:
        """The tokens, the best first."""
        ranked: List[int] = []
        left = list(tokens.tokens)
        while left:
            tried = {token: self._taken(tokens, [*ranked, token]) for token in left}
            found = self._perturbed.predictions(tokens, tried.values()).predictions[0]
            # Ties by position.
            best = min(left, key=lambda token: self._loss(found[tried[token]].log_probability))
            ranked.append(best)
            left.remove(best)
        return ranked

    def _taken(self, tokens: Tokens, ranked: List[int]) -> FrozenSet[int]:
        """What is taken out of the input, given the tokens that are ranked."""
        raise NotImplementedError

    def _loss(self, log_probability: float) -> float:
        """What the next token makes small."""
        raise NotImplementedError


@SaliencyInterpreter.register("greedy-comprehensiveness")
class GreedyComprehensiveness(GreedyRanking):
    """
    At each step the token that, taken out beside those before it, lowers the predicted class' probability
    most.

    Registered as a `SaliencyInterpreter` with name "greedy-comprehensiveness".
    """

    def _taken(self, tokens: Tokens, ranked: List[int]) -> FrozenSet[int]:
        return frozenset(ranked)

    def _loss(self, log_probability: float) -> float:
        return log_probability


@SaliencyInterpreter.register("greedy-sufficiency")
class GreedySufficiency(GreedyRanking):
    """
    From an input without any token, at each step the one that, put back beside those before it, raises the
    predicted class' probability most.

    Registered as a `SaliencyInterpreter` with name "greedy-sufficiency".
    """

    def _taken(self, tokens: Tokens, ranked: List[int]) -> FrozenSet[int]:
        return frozenset(tokens.tokens) - frozenset(ranked)

    def _loss(self, log_probability: float) -> float:
        return -log_probability
