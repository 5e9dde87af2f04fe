"""Semantic coherence of a classifier's layers over a data set, by `core.coherence`'s measures."""

from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence

import numpy
import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import JsonDict, lazy_groups_of

from allennlp_layer_saliency.core.coherence import MEASURES, coherence_sums
from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.core.paths import seeded
from allennlp_layer_saliency.evaluation.statistics import interval
from allennlp_layer_saliency.models.text_reader import Prepared, TextReader

# Texts that are sorted by length together.
WINDOW = 256


def measure(
    texts: TextReader,
    heads: Dict[str, Decoder],
    inputs: Iterable[Prepared],
    tau: int,
    pieces_per_text: Optional[int] = None,
    seed: int = 0,
    progress: Callable[[int], Any] = lambda count: None,
    layers: Optional[Sequence[int]] = None,
) -> Dict[str, numpy.ndarray]:
    """
    What each head reads from each layer, embeddings included, of each text.

    # Parameters

    texts : `TextReader`
    heads : `Dict[str, Decoder]`
    inputs : `Iterable[Prepared]`
        From the reader's `prepare`. A few hundred are held at a time.
    tau : `int`
    pieces_per_text : `int`, optional
        How many pieces of a longer text are looked for, drawn at random; None for all.
    seed : `int`
    progress : `Callable[[int], Any]`
        Called with the number of texts that are done.
    layers : `Sequence[int]`, optional
        Left out: all.

    # Returns

    `Dict[str, numpy.ndarray]`
        For each head an array of shape (texts, layers, 6): the sums over a text's pieces of each of
        `MEASURES`, and their number.

    # Raises

    `ConfigurationError`
        If there is no input, or a head does not fit.
    """
    layers = range(len(texts.hf_layers.taps)) if layers is None else layers
    embeddings = texts.transformer.get_input_embeddings().weight.detach()
    found: Dict[str, List[numpy.ndarray]] = {name: [] for name in heads}
    for window in lazy_groups_of(inputs, WINDOW):
        sums = {name: [numpy.zeros(0)] * len(window) for name in heads}
        for chosen, batch, states in texts.hidden_states(window, layers):
            compared = batch.mask & ~batch.special
            if pieces_per_text is not None:
                compared = sampled(compared, batch.token_ids, pieces_per_text, seed)
            for name, head in heads.items():
                try:
                    per_layer = [
                        coherence_sums(
                            head.at(layer),
                            texts.hf_layers.for_head(hidden_states, layer),
                            batch.token_ids,
                            batch.mask,
                            compared,
                            embeddings,
                            tau,
                            batch.starts,
                        )
                        for layer, hidden_states in states.items()
                    ]
                except ValueError as error:
                    raise ConfigurationError(str(error)) from error
                # Shape: (batch, layers, 6)
                for i, text in zip(chosen, torch.stack(per_layer, dim=1).cpu().numpy()):
                    sums[name][i] = text
            progress(len(chosen))
        for name in heads:
            found[name].extend(sums[name])
    if not all(found.values()):
        raise ConfigurationError("there is no text to measure")
    for name, of_head in found.items():
        if not sum(text[0, -1] for text in of_head):
            raise ConfigurationError(
                f"{name} speaks of no word piece of these texts: a causal head speaks of the next piece, and "
                "needs texts of two or more"
            )
    return {name: numpy.stack(of_head) for name, of_head in found.items()}


def summary(sums: numpy.ndarray, seed: int = 0, samples: int = 1000) -> List[JsonDict]:
    """
    Each layer's means over pieces, with 95 % bootstrap intervals over texts.

    # Parameters

    sums : `numpy.ndarray`
        As `measure` gives them for a head.
    seed, samples : `int`
        Of the bootstrap.
    """
    entries = []
    for layer, of_layer in enumerate(sums.transpose(1, 2, 0)):
        *measured, counts = of_layer
        entry: JsonDict = {"layer": layer}
        intervals = {}
        for name, values in zip(MEASURES, measured):
            entry[name] = float(_ratio(values, counts))
            intervals[name] = interval(seed, values, counts, statistic=_ratio, resamples=samples)
        entries.append({**entry, "intervals": intervals})
    return entries


def _ratio(values: numpy.ndarray, counts: numpy.ndarray, axis: int = -1) -> numpy.ndarray:
    return values.sum(axis) / counts.sum(axis)


def sampled(compared: torch.Tensor, token_ids: torch.Tensor, at_most: int, seed: int) -> torch.Tensor:
    """Up to a number of true positions of each row, drawn by the seed and the row's pieces alone."""
    sampled = torch.zeros_like(compared)
    for row, (places, ids) in enumerate(zip(compared, token_ids)):
        positions = places.nonzero().squeeze(1)
        generator = seeded(seed, ids[positions].tolist())
        order = torch.randperm(len(positions), generator=generator)[:at_most]
        sampled[row, positions[order.to(positions.device)]] = True
    return sampled
