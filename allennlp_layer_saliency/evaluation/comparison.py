"""Interpreters and metrics on a data set: one record for each text, prediction and row."""

from typing import Dict, List, Optional, Sequence, Tuple, Union

from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.core import faithfulness
from allennlp_layer_saliency.core.paths import global_numbers_of
from allennlp_layer_saliency.data import Example
from allennlp_layer_saliency.evaluation import cost, plausibility, randomisation
from allennlp_layer_saliency.evaluation.comparison_summary import COSTS
from allennlp_layer_saliency.evaluation.known_words import KnownWords
from allennlp_layer_saliency.evaluation.scored_text import KINDS, ScoredText
from allennlp_layer_saliency.interpreters import Explained, LayerInterpreter
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions, Tokens
from allennlp_layer_saliency.models.text_reader import TextReader
from allennlp_layer_saliency.predictors import SaliencyPredictor
from allennlp_layer_saliency.predictors.others import numbers_from_last

NOTHING = "the model predicts nothing in this text that could be explained"


class Comparison:
    """
    Explains texts with several interpreters, and measures how good each of the explanations is.

    # Parameters

    interpreters : `Dict[str, SaliencyPredictor]`
        By row name. `ScoredText.of` says which rows each makes.
    perturbed : `PerturbedPredictions`
    texts : `TextReader`
    metrics : `Sequence[str]`
        Of `comparison_summary.METRICS`.
    scores : `Sequence[str]`
        Of `scored_text.KINDS`.
    rationales : `KnownWords`, optional
    seed : `int`

    # Raises

    `ConfigurationError`
        If a metric is for models that choose one class for an input, and this one does not.
    """

    def __init__(
        self,
        interpreters: Dict[str, SaliencyPredictor],
        perturbed: PerturbedPredictions,
        texts: TextReader,
        metrics: Sequence[str],
        scores: Sequence[str] = KINDS,
        rationales: Optional[KnownWords] = None,
        seed: int = 0,
    ) -> None:
        self._interpreters = interpreters
        self._perturbed = perturbed
        self._texts = texts
        self._faithfulness = [m for m in metrics if m in faithfulness.METRICS]
        self._plausibility = [m for m in metrics if m in plausibility.METRICS]
        self._costs = [m for m in metrics if m in COSTS]
        self._scores = scores
        self._rationales = rationales
        self._seed = seed
        self._model = texts.model
        of_classes = {m for m, metric in faithfulness.METRICS.items() if metric.needs_gold}
        refused = set(metrics) & {*of_classes, *plausibility.METRICS, "randomisation"}
        if refused and not perturbed.target.one_of_several:
            raise ConfigurationError(
                f"metrics: {', '.join(sorted(refused))} need a model that predicts one class for an input; "
                f"{type(self._model).__name__} does not"
            )

    def records(self, examples: Sequence[Example]) -> List[JsonDict]:
        """
        For each text, prediction and row the scores and the metrics, or the error, ready for JSON.

        A text that the model itself can't read, or predicts nothing in, has one record, without a row.
        """
        records: List[JsonDict] = []
        readable: List[Tuple[Example, Tokens]] = []
        by_number: Dict[int, List[JsonDict]] = {example.number: [] for example in examples}
        for example in examples:
            try:
                if example.instance is None:
                    raise ConfigurationError(str(example.error))
                readable.append((example, self._perturbed.tokens(example.instance)))
            except ConfigurationError as error:
                by_number[example.number].append({**_head(example), "error": str(error)})
        explained: Dict[str, List[Union[ScoredText, str]]] = {}
        costs: Dict[str, JsonDict] = {}
        for name in self._interpreters:
            with cost.measured(next(self._model.parameters()).device) as taken:
                explained[name] = self._explained(name, [example for example, _ in readable])
            shares = {
                "seconds": (taken["seconds"] or 0.0) / max(1, len(readable)),
                "peak_mb": taken["peak_mb"],
            }
            costs[name] = {m: shares[m] for m in self._costs if shares[m] is not None}
        for i, (example, tokens) in enumerate(readable):
            try:
                of_example = self._measured(
                    example, tokens, {name: found[i] for name, found in explained.items()}, costs
                )
            except ConfigurationError as error:
                of_example = [{**_head(example), "error": str(error)}]
            by_number[example.number].extend(of_example)
        for of_number in by_number.values():
            records.extend(of_number)
        return records

    def randomisation(self, examples: Sequence[Example]) -> Dict[str, List[JsonDict]]:
        """
        For each row and text (by its number) the agreement of scores before the model's parameters are
        randomised from the top down, and after each stage.

        Each time the interpreters explain what the model then predicts.
        """
        usable = []
        for example in examples:
            try:
                if example.instance is not None:
                    usable.append((example, self._perturbed.tokens(example.instance).tokens))
            except ConfigurationError:
                continue  # `records` has said why
        alone = [example for example, _ in usable]
        before = {name: self._explained(name, alone) for name in self._interpreters}
        found: Dict[str, List[JsonDict]] = {}
        stages = randomisation.stages(self._model, self._texts.transformer, self._texts.hf_layers)
        with randomisation.randomised(stages, self._seed) as cascade:
            for stage in cascade:
                for name in self._interpreters:
                    after = self._explained(name, alone)
                    for (example, tokens), a, b in zip(usable, before[name], after):
                        if isinstance(a, str) or isinstance(b, str):
                            continue
                        for row, scores in a.scores.items():
                            agreement = randomisation.agreement(
                                [scores[0][token] for token in tokens],
                                [b.scores[row][0][token] for token in tokens],
                            )
                            record = {"example": example.number, "stage": stage, "value": agreement}
                            found.setdefault(row, []).append(record)
        return found

    def _explained(self, name: str, examples: List[Example]) -> List[Union[ScoredText, str]]:
        """An interpreter's scores for each text, all of which are readable, or why there are none."""
        predictor = self._interpreters[name]
        inputs = [[example.instance] for example in examples if example.instance is not None]
        if isinstance(predictor.interpreter, LayerInterpreter):
            outcomes = predictor.explain(inputs)
        else:
            outcomes = []
            for example, instances in zip(examples, inputs):
                # Some of AllenNLP's draw from the global generators.
                with global_numbers_of(self._seed, example.number):
                    outcomes.extend(predictor.explain([instances]))
        return [
            (
                " ".join(str(outcome).split()) or type(outcome).__name__
                if isinstance(outcome, Exception)
                else self._scored(name, outcome)
            )
            for outcome in outcomes
        ]

    def _scored(self, name: str, outcome: Explained) -> Union[ScoredText, str]:
        if not outcome.explanation:
            return NOTHING
        interpreter = self._interpreters[name].interpreter
        return ScoredText.of(name, outcome.explanation, self._scores, numbers_from_last(interpreter))

    def _measured(
        self,
        example: Example,
        tokens: Tokens,
        explained: Dict[str, Union[ScoredText, str]],
        costs: Dict[str, JsonDict],
    ) -> List[JsonDict]:
        rankings = {
            row: [faithfulness.ranked(scores, tokens.tokens) for scores in of_row]
            for found in explained.values()
            if not isinstance(found, str)
            for row, of_row in found.scores.items()
        }
        # Rows often agree on the tokens to take out; each perturbation runs once.
        needed = [
            perturbation
            for of_row in rankings.values()
            for ranking in of_row
            for perturbation in faithfulness.perturbations(ranking, self._faithfulness)
        ]
        perturbed = self._perturbed.predictions(tokens, [faithfulness.NONE, *needed])
        if not perturbed.choices:
            raise ConfigurationError(NOTHING)
        gold = self._gold(example)
        records: List[JsonDict] = []
        for number, (choice, predictions) in enumerate(zip(perturbed.choices, perturbed.predictions)):
            label = choice.description["label"]
            head = {
                **_head(example),
                "label": None if gold is None else example.label,
                "predicted": label,
                "probability": predictions[faithfulness.NONE].probability,
            }
            place = {k: v for k, v in choice.description.items() if k not in ("label", "kind")}
            if place or perturbed.choices[1:]:
                head["target"] = {"number": number + 1, **place}
            for name, found in explained.items():
                if isinstance(found, str):
                    records.append({**head, "row": name, "error": found})
                    continue
                for row, of_row in found.scores.items():
                    # AllenNLP's explain all masks of a text, and the start and end of an answer, together.
                    if len(of_row) not in (1, len(perturbed.choices)):
                        error = f"{len(of_row)} explanations of {len(perturbed.choices)} predictions"
                        records.append({**head, "row": row, "error": error})
                        continue
                    which = number if of_row[1:] else 0
                    outcome = faithfulness.Outcome(rankings[row][which], predictions, gold)
                    metrics = faithfulness.measure(outcome, self._faithfulness)
                    metrics.update(self._plausible(example, label, found, of_row[which]))
                    records.append(
                        {
                            **head,
                            "row": row,
                            "tokens": found.tokens,
                            "offsets": found.offsets,
                            **({"starts": found.starts} if found.starts[1:] else {}),
                            "scores": of_row[which],
                            "metrics": metrics,
                            "costs": costs[name],
                        }
                    )
        return records

    def _gold(self, example: Example) -> Optional[int]:
        """The gold label's index, where the model predicts one class."""
        target = self._perturbed.target
        gold = None
        if target.one_of_several and example.label is not None:
            gold = next((i for i, label in target.labels().items() if label == example.label), None)
        needs_gold = [name for name in self._faithfulness if faithfulness.METRICS[name].needs_gold]
        if gold is None and needs_gold:
            raise ConfigurationError(
                f"{needs_gold[0]} needs a gold label, one of {', '.join(target.labels().values())}; "
                f"this text has {example.label!r}"
            )
        return gold

    def _plausible(
        self, example: Example, predicted: str, found: ScoredText, scores: Sequence[float]
    ) -> Dict[str, float]:
        """The metrics of agreement with the rationales; none where they say nothing of the input."""
        if not self._plausibility or self._rationales is None:
            return {}
        texts: Dict[str, str] = {}
        for number, text in enumerate(found.texts, start=1):
            if text is None:
                raise ConfigurationError(
                    "rationales: the texts themselves are wanted; use a file of JSON lines, sst2_tsv or "
                    "ag_news_csv"
                )
            named = [name for name, value in example.fields.items() if value == text and name not in texts]
            texts[named[0] if named else f"text {number}"] = text
        words = self._rationales.words(example.id, texts, predicted) or []
        of_words = plausibility.word_scores(words, scores, found.offsets, found.text_of)
        known = [(score, word) for score, word in zip(of_words, words) if score is not None]
        if not any(word.salient for _, word in known):
            return {}
        metrics = plausibility.measure([score for score, _ in known], [word for _, word in known])
        return {metric: metrics[metric] for metric in self._plausibility}


def _head(example: Example) -> JsonDict:
    return {"example": example.number, **({} if example.id is None else {"id": example.id})}
