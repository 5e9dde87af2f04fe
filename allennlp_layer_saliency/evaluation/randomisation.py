"""The parameter-randomisation check: does an explanation change when the model's parameters do?"""

from contextlib import contextmanager
from typing import Iterator, List, Sequence

import torch
from scipy import stats
from transformers import PreTrainedModel

from allennlp_layer_saliency.models.huggingface import Layers


def stages(
    model: torch.nn.Module, transformer: PreTrainedModel, layers: Layers
) -> List[List[torch.nn.Parameter]]:
    """
    The model's parameters from the top down: what is above the transformer's blocks, each block from
    the last to the first, what is below them. Blocks that share their parameters are one stage.
    """
    blocks = list(dict.fromkeys(tap.module for tap in layers.taps[1:]))
    owner = {id(p): i for i, block in enumerate(blocks) for p in block.parameters()}
    found: List[List[torch.nn.Parameter]] = [[] for _ in range(len(blocks) + 2)]
    inside = {id(p) for p in transformer.parameters()}
    above = False
    # Transformers register their embeddings before their blocks.
    for parameter in transformer.parameters():
        above |= id(parameter) in owner
        block = owner.get(id(parameter))
        if block is not None:
            found[len(blocks) - block].append(parameter)
        else:
            found[0 if above else -1].append(parameter)
    found[0].extend(p for p in model.parameters() if id(p) not in inside)
    return [stage for stage in found if stage]


@contextmanager
def randomised(parameters: Sequence[Sequence[torch.nn.Parameter]], seed: int) -> Iterator[Iterator[int]]:
    """
    An iterator that randomises one stage after the other, and says how many are randomised; when the block
    ends, the parameters are as before.

    Each parameter's values are shuffled, so that their distribution stays what it was.
    """
    before = [[p.detach().clone() for p in stage] for stage in parameters]
    generator = torch.Generator().manual_seed(seed)

    def cascade() -> Iterator[int]:
        for number, stage in enumerate(parameters, start=1):
            with torch.no_grad():
                for parameter in stage:
                    order = torch.randperm(parameter.numel(), generator=generator)
                    shuffled = parameter.flatten()[order.to(parameter.device)]
                    parameter.copy_(shuffled.reshape(parameter.shape))
            yield number

    try:
        yield cascade()
    finally:
        with torch.no_grad():
            for stage, values in zip(parameters, before):
                for parameter, value in zip(stage, values):
                    parameter.copy_(value)


def agreement(before: Sequence[float], after: Sequence[float]) -> float:
    """
    Spearman's rank correlation of absolute scores; 1 if the rankings are the same, and 0 if else one of
    them has all scores equal.
    """
    ranks = [stats.rankdata([abs(score) for score in scores]).tolist() for scores in (before, after)]
    if ranks[0] == ranks[1]:
        return 1.0
    if any(len(set(of_one)) == 1 for of_one in ranks):
        return 0.0
    return float(stats.pearsonr(*ranks)[0])
