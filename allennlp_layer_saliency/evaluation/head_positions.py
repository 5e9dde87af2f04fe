"""What an LM head is fitted to: a model's hidden states, and the word pieces that stand there."""

from contextlib import contextmanager
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import torch
from allennlp.common.checks import ConfigurationError
from allennlp.common.util import lazy_groups_of
from torch import Tensor
from transformers import PreTrainedModel

from allennlp_layer_saliency.evaluation.layers import WINDOW, sampled
from allennlp_layer_saliency.models.text_reader import Prepared, TextReader


class Found(NamedTuple):
    """
    # Parameters

    states : `Dict[int, torch.Tensor]`
        By layer. Shape: (positions, hidden).
    pieces : `torch.Tensor`
        Shape: (positions,).
    """

    states: Dict[int, Tensor]
    pieces: Tensor


def positions(
    texts: TextReader,
    inputs: Sequence[Prepared],
    layers: Sequence[int],
    vocabulary_size: int,
    causal: bool,
    pieces_per_text: int,
    seed: int,
) -> Found:
    """
    # Parameters

    texts : `TextReader`
    inputs : `Sequence[Prepared]`
    layers : `Sequence[int]`
    vocabulary_size : `int`
        The head's; pieces beyond it are left out.
    causal : `bool`
        Whether a state is to name the piece that comes next, rather than its own.
    pieces_per_text : `int`
        At most so many of each text, drawn at random.
    seed : `int`

    # Raises

    `ConfigurationError`
        If no text has such a piece.
    """
    states: Dict[int, List[Tensor]] = {layer: [] for layer in layers}
    pieces: List[Tensor] = []
    for window in lazy_groups_of(inputs, WINDOW):
        for _, batch, of_batch in texts.hidden_states(window, layers):
            wanted = batch.mask & ~batch.special & (batch.token_ids < vocabulary_size)
            if causal:
                wanted[:, list(batch.starts)] = False
            rows, at = sampled(wanted, batch.token_ids, pieces_per_text, seed).nonzero(as_tuple=True)
            pieces.append(batch.token_ids[rows, at])
            for layer, of_layer in of_batch.items():
                states[layer].append(
                    texts.hf_layers.for_head(of_layer, layer)[rows, at - int(causal)].float()
                )
    if not sum(map(len, pieces)):
        raise ConfigurationError("there is no word piece to fit an LM head to")
    return Found({layer: torch.cat(each) for layer, each in states.items()}, torch.cat(pieces))


@contextmanager
def weights_of(transformer: PreTrainedModel, other: PreTrainedModel) -> Iterator[None]:
    """
    The transformer with another's weights for a while.

    # Raises

    `ConfigurationError`
        If the two are not of one shape.
    """
    before = {name: value.detach().clone() for name, value in transformer.state_dict().items()}
    theirs = other.state_dict()
    # A pooler, which no layer's states depend on, may be missing.
    differing = [n for n in before if n not in theirs and "pooler" not in n and "position_ids" not in n]
    differing += [n for n in before if n in theirs and theirs[n].shape != before[n].shape]
    if differing:
        raise ConfigurationError(
            f"the pre-trained model is not of the classifier's shape: {differing[0]} differs; use target: "
            '"pieces"'
        )
    try:
        transformer.load_state_dict(theirs, strict=False)
        yield
    finally:
        transformer.load_state_dict(before)


def split(count: int, share: float, seed: int) -> Optional[List[bool]]:
    """Which of so many texts are held out: at least one, and not all; None if there are fewer than two."""
    if count < 2:
        return None
    held_out = max(1, min(round(share * count), count - 1))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = set(order[:held_out])
    return [i in chosen for i in range(count)]
