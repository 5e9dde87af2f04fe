"""`allennlp saliency compare`: interpreters beside each other on a data set."""

import json
import os
from itertools import islice
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence

from allennlp.common import Tqdm
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict
from allennlp.data.fields import TextField
from allennlp.predictors import Predictor

from allennlp_layer_saliency.commands.experiment import Experiment, check_at_least_one
from allennlp_layer_saliency.core import faithfulness
from allennlp_layer_saliency.data import Example
from allennlp_layer_saliency.dataset_readers import PlantedShortcutReader
from allennlp_layer_saliency.evaluation import plausibility
from allennlp_layer_saliency.evaluation.comparison import Comparison
from allennlp_layer_saliency.evaluation.comparison_summary import METRICS, summary
from allennlp_layer_saliency.evaluation.known_words import KnownWords, PlantedWords
from allennlp_layer_saliency.evaluation.rationales import Rationales
from allennlp_layer_saliency.evaluation.scored_text import KINDS
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions
from allennlp_layer_saliency.models.text_reader import TextReader
from allennlp_layer_saliency.predictors.configuration import resolved
from allennlp_layer_saliency.predictors.saliency import saliency_predictors
from allennlp_layer_saliency.provenance import files_of
from allennlp_layer_saliency.reports import comparison_tables as report
from allennlp_layer_saliency.results_folder import ResultsFolder, read_json, write_json

# Texts between two savings of what is done; fewer once they hold so many tokens: documents take long.
WINDOW = 32
WINDOW_TOKENS = 4096


class CompareExperiment(Experiment):
    """
    What a configuration of `allennlp saliency compare` says.

    # Parameters

    interpreters : `Dict[str, Any]`
        Row name -> an interpreter's configuration, registered name or file, as for the `saliency`
        predictor.
    metrics : `List[str]`, optional
        Left out: comprehensiveness, sufficiency, log_odds, deletion_auc, insertion_auc and seconds; with
        rationales auprc, token_f1, iou and iou_f1 too, with planted shortcuts precision_at_k and mean_rank.
    rationales : `Rationales`, optional
        Human labels of words. Left out, with data of the `planted-shortcut` reader: the planted words.
    reference : `str`, optional
        The row that is tested against each other one. Left out: nothing is tested.
    scores : `List[str]`, optional (default = `["signed", "absolute"]`)
        How tokens are ranked where an interpreter gives signed scores; both make a row each.
    perturbation : `str`, optional (default = `"mask"`)
        "mask" or "remove".
    randomisation_texts : `int`, optional (default = `20`)
        How many texts, from the beginning, are explained again while the model's parameters are
        randomised from the top down.
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    **kwargs
        As for `Experiment`. The seed is of interpreters that draw from the global generators, of the
        bootstrap and of the permutations, too.
    """

    def __init__(
        self,
        interpreters: Dict[str, Any],
        metrics: Optional[List[str]] = None,
        rationales: Optional[Rationales] = None,
        reference: Optional[str] = None,
        scores: Optional[List[str]] = None,
        perturbation: str = "mask",
        randomisation_texts: int = 20,
        transformer: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not interpreters:
            raise ConfigurationError("interpreters: at least one row is wanted")
        known_words: Optional[KnownWords] = rationales
        if rationales is None and isinstance(self.data.reader, PlantedShortcutReader):
            known_words = PlantedWords(self.data.reader.planted_words)
        if metrics is None:
            metrics = [name for name, metric in faithfulness.METRICS.items() if not metric.needs_gold]
            metrics += [*_of_rationales(known_words), "seconds"]
        _check_known("metrics", metrics, METRICS)
        if known_words is None and set(metrics) & set(plausibility.METRICS):
            raise ConfigurationError(
                f"metrics: {', '.join(plausibility.METRICS)} need `rationales`: "
                '{ path: ..., format: "sst_trees" }, or data that a planted-shortcut reader reads'
            )
        scores = list(KINDS) if scores is None else scores
        _check_known("scores", scores, KINDS)
        check_at_least_one(randomisation_texts=randomisation_texts)
        self.interpreters = interpreters
        self.metrics = metrics
        self.known_words = known_words
        self.reference = reference
        self.scores = scores
        self.perturbation = perturbation
        self.randomisation_texts = randomisation_texts
        self.transformer = transformer

    def known(self) -> JsonDict:
        known = super().known()
        # An interpreter's own file names files too.
        known["files"].update(files_of(resolved(self.interpreters)))
        return known

    def results(self, saved: "_Saved", cuda_device: int) -> JsonDict:
        """Measure what is not saved yet, and summarise all of it."""
        predictors = saliency_predictors(*self.model(cuda_device), self.interpreters, self.inner)
        inner: Predictor = next(iter(predictors.values())).inner
        texts = TextReader(inner, self.transformer)
        comparison = Comparison(
            predictors,
            PerturbedPredictions(texts, self.perturbation),
            texts,
            self.metrics,
            self.scores,
            self.known_words,
            self.seed,
        )
        examples = self.data.examples(inner, self.seed, self.limit)
        for _ in islice(examples, saved.texts):
            pass  # done before
        with Tqdm.tqdm(desc="compare", unit=" texts", initial=saved.texts) as bar:
            for window in _windows(examples):
                saved.add(comparison.records(window), len(window))
                bar.update(len(window))
        if "randomisation" in self.metrics and saved.randomisation is None:
            first = self.data.examples(inner, self.seed, self.limit)
            saved.add_randomisation(comparison.randomisation(list(islice(first, self.randomisation_texts))))
        types = {name: config["type"] for name, config in resolved(self.interpreters).items()}
        return summary(saved.records(), saved.randomisation or {}, self.reference, self.seed, types)


def _windows(examples: Iterable[Example]) -> Iterator[List[Example]]:
    """Of `WINDOW` texts each, or of fewer that reach `WINDOW_TOKENS`."""
    window: List[Example] = []
    tokens = 0
    for example in examples:
        window.append(example)
        fields = example.instance.fields.values() if example.instance is not None else ()
        tokens += sum(len(field) for field in fields if isinstance(field, TextField))
        if len(window) == WINDOW or tokens >= WINDOW_TOKENS:
            yield window
            window, tokens = [], 0
    if window:
        yield window


class _Saved:
    """
    examples.jsonl and what says how much of it counts, so that a stopped run goes on where it was.

    A window's records are written first, and count once progress.json has been replaced.

    # Parameters

    folder : `ResultsFolder`
    known : `JsonDict`
        What the records depend on.
    force : `bool`
        Whether to start over, whatever the folder holds.

    # Raises

    `ConfigurationError`
        If the folder holds another comparison.
    """

    def __init__(self, folder: ResultsFolder, known: JsonDict, force: bool) -> None:
        self._examples = folder.file("examples.jsonl")
        self._progress = folder.file("progress.json")
        self._randomisation = folder.file("randomisation.json")
        before = None if force else folder.before()
        if before is not None:
            folder.check_same(before, known)
        else:
            for path in (self._examples, self._progress, self._randomisation):
                if os.path.exists(path):
                    os.remove(path)
            folder.describe(known)
        progress = read_json(self._progress) or {"texts": 0, "bytes": 0}
        self.texts: int = progress["texts"]
        self.randomisation: Optional[Dict[str, List[JsonDict]]] = read_json(self._randomisation)
        with open(self._examples, "ab") as file:
            file.truncate(progress["bytes"])

    def add(self, records: List[JsonDict], texts: int) -> None:
        with open(self._examples, "a", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.texts += texts
        size = os.path.getsize(self._examples)
        write_json(self._progress, {"texts": self.texts, "bytes": size})

    def add_randomisation(self, found: Dict[str, List[JsonDict]]) -> None:
        self.randomisation = found
        write_json(self._randomisation, found)

    def records(self) -> List[JsonDict]:
        with open(self._examples, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


def run_comparison(
    config: str,
    output: str,
    limit: Optional[int] = None,
    cuda_device: int = -1,
    force: bool = False,
) -> None:
    """
    Measure, show, and write OUT/comparison.json, tables and, with matplotlib, plots. What OUT holds
    already of the same comparison is not measured again.

    # Parameters

    config : `str`
        A jsonnet file.
    output : `str`
        A folder.
    limit, cuda_device, force
        As the command's options of these names.

    # Raises

    `ConfigurationError`
    """
    experiment = CompareExperiment.read(config, limit=limit)
    known = experiment.known()
    with ResultsFolder(output, "config.json", "comparison") as folder:
        saved = _Saved(folder, known, force)
        results = {**known, **experiment.results(saved, cuda_device)}
        write_json(folder.file("comparison.json"), results)
        report.print_tables(results)
        written = report.write_tables(results, output)
        plots = report.write_plots(results, output)
    print(", ".join([folder.file("comparison.json"), *written, *(plots or [])]))
    if plots is None:
        print("for plots: pip install 'allennlp-layer-saliency[report]'")


def _of_rationales(known_words: Optional[KnownWords]) -> Sequence[str]:
    if isinstance(known_words, PlantedWords):
        return plausibility.PLANTED
    return plausibility.HUMAN if known_words is not None else ()


def _check_known(argument: str, given: List[str], known: Any) -> None:
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        raise ConfigurationError(
            f"{argument}: {', '.join(map(repr, unknown)) or 'none'} given; there are {', '.join(known)}"
        )
