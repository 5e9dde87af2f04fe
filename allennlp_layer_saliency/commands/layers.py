"""`allennlp saliency layers`: the semantic coherence of every layer of a classifier."""

import csv
import io
from typing import Any, Dict, List, Optional

from allennlp.common import Tqdm
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.commands.experiment import Experiment, check_at_least_one
from allennlp_layer_saliency.core.coherence import MEASURES, deepest_readable
from allennlp_layer_saliency.evaluation.layers import measure, summary
from allennlp_layer_saliency.files import write_whole
from allennlp_layer_saliency.interpreters.lm_heads import LMHead, PretrainedLMHead
from allennlp_layer_saliency.interpreters.targets import target_type
from allennlp_layer_saliency.models.text_reader import TextReader
from allennlp_layer_saliency.predictors.configuration import inner_predictor
from allennlp_layer_saliency.reports.layers_table import plot, print_table
from allennlp_layer_saliency.results_folder import ResultsFolder


class LayersExperiment(Experiment):
    """
    What a configuration of `allennlp saliency layers` says.

    # Parameters

    lm_head : `LMHead`, optional
        Left out: the head of the pre-trained model that the classifier was built from.
    lm_heads : `Dict[str, LMHead]`, optional
        Several, by names of your own.
    tau : `int`, optional (default = `10`)
        τ of the recovery.
    pieces_per_text : `int`, optional
        How many pieces of a longer text are measured, drawn at random: quicker, with wider intervals.
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    **kwargs
        As for `Experiment`. The seed is of the bootstrap and of `pieces_per_text`, too.
    """

    STATES_ONLY = True

    def __init__(
        self,
        lm_head: Optional[LMHead] = None,
        lm_heads: Optional[Dict[str, LMHead]] = None,
        tau: int = 10,
        pieces_per_text: Optional[int] = None,
        transformer: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if lm_head is not None and lm_heads is not None:
            raise ConfigurationError("give lm_head or lm_heads, not both")
        check_at_least_one(tau=tau, pieces_per_text=pieces_per_text)
        self.lm_heads = lm_heads or {"lm_head": lm_head or PretrainedLMHead()}
        self.tau = tau
        self.pieces_per_text = pieces_per_text
        self.transformer = transformer

    def results(self, cuda_device: int) -> JsonDict:
        """The results, as layers.json has them."""
        model, reader = self.model(cuda_device)
        predictor = inner_predictor(model, reader, self.inner)
        target_type(model)  # refuses what can't be explained
        texts = TextReader(predictor, self.transformer)
        heads = {name: head.load(texts.transformer, texts.tokenizer) for name, head in self.lm_heads.items()}
        skipped: List[JsonDict] = []
        with Tqdm.tqdm(desc="layers", unit=" texts", total=self.limit) as bar:
            try:
                sums = measure(
                    texts,
                    heads,
                    self.prepared(predictor, texts, skipped),
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


def measure_layers(
    config: str,
    output: str,
    limit: Optional[int] = None,
    cuda_device: int = -1,
    force: bool = False,
) -> None:
    """
    Measure, show, and write OUT/layers.json, layers.csv and, with matplotlib, layers.png. What OUT holds
    already of the same configuration is shown again, and not measured.

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
    experiment = LayersExperiment.read(config, limit=limit)
    known = experiment.known()
    with ResultsFolder(output, "layers.json", "measurement of layers") as folder:
        results = None if force else folder.before()
        if results is not None:
            folder.check_same(results, known)
        else:
            results = {**known, "tau": experiment.tau, **experiment.results(cuda_device)}
            write_whole(folder.file("layers.csv"), _as_csv(results).encode())
            # Last: with it the folder holds results.
            folder.describe(results)
        print_table(results)
        plotted = plot(results, folder.file("layers.png"))
    print(f"{folder.file('layers.json')}, layers.csv" + (", layers.png" if plotted else ""))
    if not plotted:
        print("for a plot: pip install 'allennlp-layer-saliency[report]'")


def _as_csv(results: JsonDict) -> str:
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
