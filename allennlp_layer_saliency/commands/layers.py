"""`allennlp saliency layers`: the semantic coherence of every layer of a classifier."""

import copy
import csv
import io
import json
import os
from typing import Any, Dict, Iterator, Optional, Union

from allennlp.common import FromParams, Tqdm
from allennlp.common.checks import ConfigurationError
from allennlp.models.archival import load_archive

from allennlp_layer_saliency.commands.config import read_config
from allennlp_layer_saliency.core.coherence import MEASURES, deepest_readable
from allennlp_layer_saliency.data import Data
from allennlp_layer_saliency.evaluation.coherence import measure, summary
from allennlp_layer_saliency.files import write_whole
from allennlp_layer_saliency.interpreters.lm_heads import LMHead, PretrainedLMHead
from allennlp_layer_saliency.interpreters.targets import target_type
from allennlp_layer_saliency.models.text_reader import Prepared, TextReader
from allennlp_layer_saliency.predictors.configuration import inner_predictor
from allennlp_layer_saliency.provenance import provenance
from allennlp_layer_saliency.reports.coherence import plot, print_table


class LayersExperiment(FromParams):
    """
    What a configuration of `allennlp saliency layers` says.

    # Parameters

    archive_file : `str`
    data : `Data`
    lm_head : `LMHead`, optional
        Left out: the head of the pre-trained model that the classifier was built from.
    lm_heads : `Dict[str, LMHead]`, optional
        Several, by names of your own.
    tau : `int`, optional (default = `10`)
        τ of the recovery.
    seed : `int`, optional (default = `0`)
        Of the bootstrap, of `pieces_per_text`, and of the data's `sample`.
    limit : `int`, optional
        Only so many texts, from the file's beginning.
    pieces_per_text : `int`, optional
        Of longer texts only so many pieces, drawn at random: quicker, with wider intervals.
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    inner : `str` or `Dict[str, Any]`, optional
        The predictor that reads the data; left out, the model's default.
    """

    def __init__(
        self,
        archive_file: str,
        data: Data,
        lm_head: Optional[LMHead] = None,
        lm_heads: Optional[Dict[str, LMHead]] = None,
        tau: int = 10,
        seed: int = 0,
        limit: Optional[int] = None,
        pieces_per_text: Optional[int] = None,
        transformer: Optional[str] = None,
        inner: Optional[Union[str, Dict[str, Any]]] = None,
    ) -> None:
        if lm_head is not None and lm_heads is not None:
            raise ConfigurationError("give lm_head or lm_heads, not both")
        for name, value in (("tau", tau), ("limit", limit), ("pieces_per_text", pieces_per_text)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1; got {value}")
        self.archive_file = archive_file
        self.data = data
        self.lm_heads = lm_heads or {"lm_head": lm_head or PretrainedLMHead()}
        self.tau = tau
        self.seed = seed
        self.limit = limit
        self.pieces_per_text = pieces_per_text
        self.transformer = transformer
        self.inner = inner

    def run(self, cuda_device: int) -> Dict[str, Any]:
        """The results, as layers.json has them."""
        archive = load_archive(self.archive_file, cuda_device=cuda_device)
        predictor = inner_predictor(archive.model, archive.validation_dataset_reader, self.inner)
        target_type(archive.model)  # refuses what can't be explained
        texts = TextReader(predictor, self.transformer)
        heads = {
            name: head.load(texts.transformer, texts.tokenizer)
            for name, head in self.lm_heads.items()
        }
        skipped = []

        def prepared() -> Iterator[Prepared]:
            for example in self.data.examples(predictor, self.seed, self.limit):
                try:
                    if example.instance is None:
                        raise ConfigurationError(example.error)
                    yield texts.prepare([example.instance])
                except ConfigurationError as error:
                    skipped.append({"text": example.number, "error": str(error)})

        with Tqdm.tqdm(desc="layers", unit=" texts", total=self.limit) as bar:
            try:
                sums = measure(
                    texts,
                    heads,
                    prepared(),
                    self.tau,
                    self.pieces_per_text,
                    self.seed,
                    bar.update,
                )
            except ConfigurationError as error:
                if not skipped:
                    raise
                raise ConfigurationError(
                    f"{error}; text {skipped[0]['text']} was left out: {skipped[0]['error']}"
                ) from error
        found = {name: summary(of_head, self.seed) for name, of_head in sums.items()}
        first = next(iter(found))
        ranks = [entry["reciprocal_rank"] for entry in found[first]]
        return {
            "layers": found[first],
            "chosen": deepest_readable(ranks),
            **({"heads": found} if len(found) > 1 else {}),
            "texts": len(sums[first]),
            "skipped": skipped,
        }


def layers(
    config: str,
    output: str,
    limit: Optional[int] = None,
    cuda_device: int = -1,
    force: bool = False,
) -> None:
    """
    Measure, show, and write OUT/layers.json, layers.csv and, with matplotlib, layers.png.

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
    path = os.path.join(output, "layers.json")
    if os.path.exists(path) and not force:
        raise ConfigurationError(f"{path} exists; choose another folder, or give --force")
    params = read_config(config, limit)
    settings = copy.deepcopy(params.as_dict(quiet=True))
    experiment = LayersExperiment.from_params(params)
    known = provenance(experiment.archive_file, settings, experiment.seed)
    results = {**known, "tau": experiment.tau, **experiment.run(cuda_device)}
    os.makedirs(output, exist_ok=True)
    content = json.dumps(results, indent=1, allow_nan=False).encode()
    write_whole(os.path.join(output, "layers.csv"), _as_csv(results).encode())
    # Last: with it the folder holds results.
    write_whole(path, content)
    print_table(results)
    plotted = plot(results, os.path.join(output, "layers.png"))
    print(f"{path}, layers.csv" + (", layers.png" if plotted else ""))
    if not plotted:
        print("for a plot: pip install 'allennlp-layer-saliency[report]'")


def _as_csv(results: Dict[str, Any]) -> str:
    """A line for each head, layer and measure."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["head", "layer", "measure", "mean", "low", "high"])
    for head, entries in results.get("heads", {"lm_head": results["layers"]}).items():
        for entry in entries:
            for name in MEASURES:
                interval = entry["intervals"][name] or ["", ""]
                writer.writerow([head, entry["layer"], name, entry[name], *interval])
    return file.getvalue()
