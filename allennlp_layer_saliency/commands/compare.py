"""`allennlp saliency compare`: interpreters beside each other on a data set."""

import copy
import json
import os
from itertools import islice
from typing import Any, Dict, List, Optional, Union

from allennlp.common import FromParams, Tqdm
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict, lazy_groups_of
from allennlp.models.archival import load_archive
from allennlp.predictors import Predictor

from allennlp_layer_saliency.commands.config import read_config
from allennlp_layer_saliency.core import faithfulness
from allennlp_layer_saliency.data import Data
from allennlp_layer_saliency.evaluation import plausibility
from allennlp_layer_saliency.evaluation.comparison import METRICS, SCORES, Comparison, summary
from allennlp_layer_saliency.evaluation.perturbation import PerturbedPredictions
from allennlp_layer_saliency.evaluation.plausibility import Rationales
from allennlp_layer_saliency.files import write_whole
from allennlp_layer_saliency.models.text_reader import TextReader
from allennlp_layer_saliency.predictors.configuration import resolved
from allennlp_layer_saliency.predictors.saliency import saliency_predictors
from allennlp_layer_saliency.provenance import files_of, provenance
from allennlp_layer_saliency.reports import comparison as report

# Texts between two savings of what is done.
WINDOW = 32


class CompareExperiment(FromParams):
    """
    What a configuration of `allennlp saliency compare` says.

    # Parameters

    archive_file : `str`
    data : `Data`
    interpreters : `Dict[str, Any]`
        Row name -> an interpreter's configuration, registered name or file, as for the `saliency`
        predictor.
    metrics : `List[str]`, optional
        Left out: comprehensiveness, sufficiency, log_odds, deletion_auc, insertion_auc and seconds; with
        rationales auprc, token_f1 and iou too.
    rationales : `Rationales`, optional
        Human labels of words.
    reference : `str`, optional
        The row that is tested against each other one. Left out: nothing is tested.
    scores : `List[str]`, optional (default = `["signed", "absolute"]`)
        How tokens are ranked where an interpreter gives signed scores; both make a row each.
    perturbation : `str`, optional (default = `"mask"`)
        "mask" or "remove".
    randomisation_texts : `int`, optional (default = `20`)
        So many texts, from the beginning, are explained again while the model's parameters are
        randomised from the top down.
    seed : `int`, optional (default = `0`)
        Of the data's `sample`, of interpreters that draw from the global generators, of the bootstrap and
        of the permutations.
    limit : `int`, optional
        Only so many texts, from the beginning.
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    inner : `str` or `Dict[str, Any]`, optional
        The predictor that reads the data, as for the `saliency` predictor.
    """

    def __init__(
        self,
        archive_file: str,
        data: Data,
        interpreters: Dict[str, Any],
        metrics: Optional[List[str]] = None,
        rationales: Optional[Rationales] = None,
        reference: Optional[str] = None,
        scores: Optional[List[str]] = None,
        perturbation: str = "mask",
        randomisation_texts: int = 20,
        seed: int = 0,
        limit: Optional[int] = None,
        transformer: Optional[str] = None,
        inner: Optional[Union[str, Dict[str, Any]]] = None,
    ) -> None:
        if not interpreters:
            raise ConfigurationError("interpreters: at least one row is wanted")
        if metrics is None:
            metrics = [m for m in faithfulness.METRICS if m != "accuracy_after_deletion"]
            metrics += [*(plausibility.METRICS if rationales else ()), "seconds"]
        _check_known("metrics", metrics, METRICS)
        if rationales is None and set(metrics) & set(plausibility.METRICS):
            raise ConfigurationError(
                f"metrics: {', '.join(plausibility.METRICS)} need `rationales`: "
                '{ path: ..., format: "sst_trees" }'
            )
        scores = list(SCORES) if scores is None else scores
        _check_known("scores", scores, SCORES)
        for name, value in (("limit", limit), ("randomisation_texts", randomisation_texts)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1; got {value}")
        self.archive_file = archive_file
        self.data = data
        self.interpreters = interpreters
        self.metrics = metrics
        self.rationales = rationales
        self.reference = reference
        self.scores = scores
        self.perturbation = perturbation
        self.randomisation_texts = randomisation_texts
        self.seed = seed
        self.limit = limit
        self.transformer = transformer
        self.inner = inner

    def run(self, output: str, cuda_device: int) -> JsonDict:
        """Measure what is not there yet, and summarise all of it."""
        archive = load_archive(self.archive_file, cuda_device=cuda_device)
        predictors = saliency_predictors(
            archive.model, archive.validation_dataset_reader, self.interpreters, self.inner
        )
        inner: Predictor = next(iter(predictors.values())).inner
        texts = TextReader(inner, self.transformer)
        comparison = Comparison(
            predictors,
            PerturbedPredictions(texts, self.perturbation),
            texts,
            self.metrics,
            self.scores,
            self.rationales,
            self.seed,
        )
        saved = _Saved(output)
        examples = self.data.examples(inner, self.seed, self.limit)
        for _ in islice(examples, saved.texts):
            pass  # done before
        with Tqdm.tqdm(desc="compare", unit=" texts", initial=saved.texts) as bar:
            for window in lazy_groups_of(examples, WINDOW):
                saved.add(comparison.records(window), len(window))
                bar.update(len(window))
        if "randomisation" in self.metrics and saved.randomisation is None:
            first = self.data.examples(inner, self.seed, self.limit)
            saved.add_randomisation(
                comparison.randomisation(list(islice(first, self.randomisation_texts)))
            )
        return summary(saved.records(), saved.randomisation or {}, self.reference, self.seed)


class _Saved:
    """
    examples.jsonl and what says how much of it counts, so that a stopped run goes on where it was.

    A window's records are written first, and count once progress.json has been replaced.
    """

    def __init__(self, output: str) -> None:
        self._examples = os.path.join(output, "examples.jsonl")
        self._progress = os.path.join(output, "progress.json")
        self._randomisation = os.path.join(output, "randomisation.json")
        progress = _read(self._progress) or {"texts": 0, "bytes": 0}
        self.texts: int = progress["texts"]
        self.randomisation: Optional[Dict[str, List[JsonDict]]] = _read(self._randomisation)
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
        _replace(self._progress, {"texts": self.texts, "bytes": size})

    def add_randomisation(self, found: Dict[str, List[JsonDict]]) -> None:
        self.randomisation = found
        _replace(self._randomisation, found)

    def records(self) -> List[JsonDict]:
        with open(self._examples, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


def compare(
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
    params = read_config(config, limit)
    settings = copy.deepcopy(params.as_dict(quiet=True))
    experiment = CompareExperiment.from_params(params)
    known = provenance(experiment.archive_file, settings, experiment.seed)
    # An interpreter's own file names files too.
    known["files"].update(files_of(resolved(experiment.interpreters)))
    os.makedirs(output, exist_ok=True)
    _check_the_same(os.path.join(output, "config.json"), known, output, force)
    results = {**known, **experiment.run(output, cuda_device)}
    _replace(os.path.join(output, "comparison.json"), results)
    report.print_tables(results)
    written = report.write_tables(results, output)
    plots = report.write_plots(results, output)
    print(", ".join([os.path.join(output, "comparison.json"), *written, *(plots or [])]))
    if plots is None:
        print("for plots: pip install 'allennlp-layer-saliency[report]'")


def _check_the_same(path: str, known: JsonDict, output: str, force: bool) -> None:
    """Refuse a folder with results of another comparison; `force` empties it of them."""
    before = _read(path)
    if before is not None and before != known and not force:
        differing = [key for key in known if before.get(key) != known[key]]
        if len(differing) == 1 and isinstance(known[differing[0]], dict):
            (key,) = differing
            a, b = before.get(key) or {}, known[key]
            differing = [f"{key}: {k}" for k in {**a, **b} if a.get(k) != b.get(k)]
        raise ConfigurationError(
            f"{output} holds another comparison (differing in {', '.join(differing)}); choose another "
            "folder, or give --force to start over"
        )
    if force or before is None:
        for name in ("examples.jsonl", "progress.json", "randomisation.json"):
            if os.path.exists(os.path.join(output, name)):
                os.remove(os.path.join(output, name))
        _replace(path, known)


def _check_known(argument: str, given: List[str], known: Any) -> None:
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        raise ConfigurationError(
            f"{argument}: {', '.join(map(repr, unknown)) or 'none'} given; there are {', '.join(known)}"
        )


def _read(path: str) -> Any:
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _replace(path: str, content: Any) -> None:
    write_whole(path, json.dumps(content, indent=1, allow_nan=False).encode())
