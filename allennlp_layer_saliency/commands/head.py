"""`allennlp saliency head`: an LM head for each layer of a classifier, fitted without labels."""

import os
import shutil
from contextlib import ExitStack
from typing import Any, Dict, List, Optional, Tuple

import torch
from allennlp.common import Tqdm
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict

from allennlp_layer_saliency.commands.experiment import Experiment, check_at_least_one
from allennlp_layer_saliency.core.coherence import deepest_readable
from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.core.translators import Fitted, Positions, fit
from allennlp_layer_saliency.evaluation import randomisation
from allennlp_layer_saliency.evaluation.head_positions import Found, positions, split, weights_of
from allennlp_layer_saliency.evaluation.layers import measure, summary
from allennlp_layer_saliency.interpreters.lm_heads import LMHead, PretrainedLMHead
from allennlp_layer_saliency.interpreters.lm_heads.tuned import (
    DESCRIPTION,
    WEIGHTS,
    fingerprint,
    read_translators,
    with_translators,
    write_translators,
)
from allennlp_layer_saliency.models.huggingface import load_encoder
from allennlp_layer_saliency.models.text_reader import Prepared, TextReader
from allennlp_layer_saliency.predictors.configuration import inner_predictor
from allennlp_layer_saliency.reports.layers_table import print_table
from allennlp_layer_saliency.results_folder import ResultsFolder, read_json, write_json

# How much of the loss is the pre-trained model's distribution, by the setting `target`.
SHARES = {"pieces": 0.0, "mixture": 0.5, "distribution": 1.0}
CONTROLS = ("shuffled-states", "random-weights")
HELD_OUT = 0.1
# τ of the recovery that is measured.
TAU = 10
# What is done of each layer, so that a stopped fit goes on.
PARTS = "parts"


class HeadExperiment(Experiment):
    """
    What a configuration of `allennlp saliency head` says.

    # Parameters

    base : `LMHead`, optional
        The head that the fitted maps stand before. Left out: that of the pre-trained model that the
        classifier was built from. For models that have none: "tied-embeddings".
    layers : `List[int]`, optional
        Left out: all.
    target : `str`, optional (default = `"pieces"`)
        What a position's state is to decode to: its own word piece, "pieces"; as the pre-trained model's
        last state there does, "distribution"; or both, "mixture". The latter two need a pretrained base.
    steps : `int`, optional (default = `100`)
        Of a layer, at most: it stops when texts that are held out no longer gain.
    positions : `int`, optional (default = `40000`)
        How many positions are looked at, of as many texts as there are.
    control : `str`, optional
        Fit a head that should not succeed: to "shuffled-states", those of other positions; or to the model
        with "random-weights".
    transformer : `str`, optional
        Dotted path to the transformer inside the model, where there are several.
    **kwargs
        As for `Experiment`. The seed is of what is held out, of the batches and of the controls, too.
    """

    STATES_ONLY = True

    def __init__(
        self,
        base: Optional[LMHead] = None,
        layers: Optional[List[int]] = None,
        target: str = "pieces",
        steps: int = 100,
        positions: int = 40_000,
        control: Optional[str] = None,
        transformer: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if target not in SHARES:
            raise ConfigurationError(f"target must be one of {', '.join(SHARES)}; got {target!r}")
        if control not in (None, *CONTROLS):
            raise ConfigurationError(f"control must be one of {', '.join(CONTROLS)}; got {control!r}")
        check_at_least_one(steps=steps, positions=positions)
        self.base = base or PretrainedLMHead()
        if target != "pieces" and not isinstance(self.base, PretrainedLMHead):
            raise ConfigurationError(f'target "{target}" needs a base of type "pretrained"')
        self.layers = layers
        self.target = target
        self.steps = steps
        self.positions = positions
        self.control = control
        self.transformer = transformer

    def results(self, folder: ResultsFolder, cuda_device: int) -> JsonDict:
        """Fit what is not fitted yet, write it, and measure what it gained."""
        model, reader = self.model(cuda_device)
        predictor = inner_predictor(model, reader, self.inner)
        texts = TextReader(predictor, self.transformer)
        mark = fingerprint(texts.transformer)
        decoder = self.base.load(texts.transformer, texts.tokenizer)
        layers = self._layers(len(texts.hf_layers.taps))
        skipped: List[JsonDict] = []
        inputs = list(self.prepared(predictor, texts, skipped))
        held_out = split(len(inputs), HELD_OUT, self.seed)
        if held_out is None:
            first = f"; text {skipped[0]['text']} was left out: {skipped[0]['error']}" if skipped else ""
            raise ConfigurationError(f"data: at least two texts that can be read are wanted{first}")
        train = [text for text, out in zip(inputs, held_out) if not out]
        kept = [text for text, out in zip(inputs, held_out) if out]
        with ExitStack() as stack:
            if self.control == "random-weights":
                stages = randomisation.stages(texts.model, texts.transformer, texts.hf_layers)
                for _ in stack.enter_context(randomisation.randomised(stages, self.seed)):
                    pass
            fitted = self._fitted(folder, texts, decoder, layers, (train, kept))
            translators = {layer: found.translator for layer, found in fitted.items()}
            heads = {"base": decoder, "tuned": with_translators(decoder, translators)}
            coherence = self._coherence(texts, heads, layers, kept)
        write_translators(folder.file(WEIGHTS), translators)
        base = self.settings.get("base") or "pretrained"
        ranks = [entry["reciprocal_rank"] for entry in coherence["tuned"]]
        return {
            "fingerprint": mark,
            "base": {"type": base} if isinstance(base, str) else dict(base),
            "fitted": layers,
            "losses": {str(n): f.losses for n, f in fitted.items()},
            "layers": coherence["tuned"],
            "heads": coherence,
            "chosen": layers[deepest_readable(ranks)],
            "texts": len(inputs),
            "held_out": len(kept),
            "skipped": skipped,
        }

    def _layers(self, count: int) -> List[int]:
        if self.layers is None:
            return list(range(count))
        found = sorted({layer + count if layer < 0 else layer for layer in self.layers})
        if not found or found[0] < 0 or found[-1] >= count:
            raise ConfigurationError(
                f"layers must be 0 to {count - 1}, or -1 to {-count} from the last; got {self.layers}"
            )
        return found

    def _fitted(
        self,
        folder: ResultsFolder,
        texts: TextReader,
        decoder: Decoder,
        layers: List[int],
        inputs: Tuple[List[Prepared], List[Prepared]],
    ) -> Dict[int, Fitted]:
        os.makedirs(folder.file(PARTS), exist_ok=True)
        done: Dict[int, Fitted] = {}
        for layer in layers:
            losses = read_json(folder.file(os.path.join(PARTS, f"{layer}.json")))
            if losses is not None:
                path = folder.file(os.path.join(PARTS, f"{layer}.safetensors"))
                done[layer] = Fitted(read_translators(path)[layer], losses)
        left = [layer for layer in layers if layer not in done]
        if not left:
            return done
        per_text = max(1, self.positions // sum(map(len, inputs)))

        def looked_at(chosen: List[Prepared], layers: List[int]) -> Found:
            return positions(
                texts, chosen, layers, decoder.vocabulary_size, decoder.causal, per_text, self.seed
            )

        # The embeddings, which any base head reads.
        found = [looked_at(chosen, sorted({0, *left})) for chosen in inputs]
        pretrained: List[Any] = [None, None]
        if SHARES[self.target]:
            last = len(texts.hf_layers.taps) - 1
            assert isinstance(self.base, PretrainedLMHead)
            encoder = load_encoder(self.base.name_for(texts.transformer, texts.tokenizer))
            with weights_of(texts.transformer, encoder):
                pretrained = [looked_at(chosen, [last]).states[last] for chosen in inputs]
        if self.control == "shuffled-states":
            found = [_shuffled(each, self.seed) for each in found]
        with Tqdm.tqdm(desc="head", unit=" steps", total=len(left) * self.steps) as bar:
            for layer in left:
                train, held_out = (
                    Positions(each.states[layer], each.pieces, states)
                    for each, states in zip(found, pretrained)
                )
                try:
                    done[layer] = fit(
                        decoder,
                        train,
                        held_out,
                        found[0].states[0],
                        SHARES[self.target],
                        self.steps,
                        self.seed,
                        bar.update,
                    )
                except ValueError as error:
                    raise ConfigurationError(str(error)) from error
                write_translators(
                    folder.file(os.path.join(PARTS, f"{layer}.safetensors")), {layer: done[layer].translator}
                )
                # Last: with it the layer counts.
                write_json(folder.file(os.path.join(PARTS, f"{layer}.json")), done[layer].losses)
        return done

    def _coherence(
        self, texts: TextReader, heads: Dict[str, Decoder], layers: List[int], inputs: List[Prepared]
    ) -> Dict[str, List[JsonDict]]:
        sums = measure(texts, heads, inputs, TAU, seed=self.seed, layers=layers)
        return {
            name: [{**entry, "layer": layer} for layer, entry in zip(layers, summary(of_head, self.seed))]
            for name, of_head in sums.items()
        }


def _shuffled(found: Found, seed: int) -> Found:
    """States of other positions; the same at each layer."""
    order = torch.randperm(len(found.pieces), generator=torch.Generator().manual_seed(seed))
    return Found({layer: states[order] for layer, states in found.states.items()}, found.pieces)


def fit_head(
    config: str,
    output: str,
    limit: Optional[int] = None,
    cuda_device: int = -1,
    force: bool = False,
) -> None:
    """
    Fit, show what was gained, and write OUT/head.json and head.safetensors, which the LM head "tuned" reads.
    A stopped fit goes on with the next layer.

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
    experiment = HeadExperiment.read(config, limit=limit)
    known = experiment.known()
    with ResultsFolder(output, "config.json", "fit of an LM head") as folder:
        before = None if force else folder.before()
        if before is not None:
            folder.check_same(before, known)
        else:
            shutil.rmtree(folder.file(PARTS), ignore_errors=True)
        folder.describe(known)
        results = None if before is None else read_json(folder.file(DESCRIPTION))
        if results is None:
            results = {**known, "tau": TAU, **experiment.results(folder, cuda_device)}
            write_json(folder.file(DESCRIPTION), results)
        print_table({**results, "texts": results["held_out"]})
    print(f"{folder.file(DESCRIPTION)}, {WEIGHTS}")
