"""Which inputs go through the model together."""

import logging
from typing import Callable, Iterator, List, Optional, Tuple, TypeVar

import torch
from allennlp.common.checks import ConfigurationError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Word pieces per forward pass, padding included. More are no faster on a CPU, and need more memory.
MAX_PIECES = 2048
# Once it holds this many, a batch of texts of different lengths is closed at this share of padding.
ENOUGH_PIECES = 256
MAX_PADDING = 0.1


def batches(lengths: List[int], max_pieces: int, equal_lengths: bool = False) -> List[List[int]]:
    """
    Indices in batches of similar length, or of equal length, each of at most `max_pieces` with padding,
    or of one.
    """
    batches: List[List[int]] = []
    real = 0  # pieces of the latest batch, without padding
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        latest = batches[-1] if batches else []
        padded = (len(latest) + 1) * lengths[i]
        # A batch that is large enough does not grow at the price of padding.
        fits = padded <= max_pieces and (
            padded <= ENOUGH_PIECES or padded - real - lengths[i] <= MAX_PADDING * padded
        )
        if latest and fits and (not equal_lengths or lengths[latest[0]] == lengths[i]):
            latest.append(i)
            real += lengths[i]
        else:
            batches.append([i])
            real = lengths[i]
    return batches


class TokenBudget:
    """
    How many word pieces go through the model together; half as many each time that memory runs out.

    # Attributes

    pieces : `int`
        Per forward pass, padding included.
    """

    def __init__(self) -> None:
        self.pieces = MAX_PIECES

    def run(
        self,
        lengths: List[int],
        work: Callable[[List[int]], T],
        equal_lengths: bool = False,
        one_by_one: bool = False,
        copies: bool = False,
    ) -> Iterator[Tuple[List[int], T]]:
        """
        Do the work in batches; what did not fit into memory is done again in smaller ones.

        # Parameters

        lengths : `List[int]`
            Word pieces of each input.
        work : `Callable[[List[int]], T]`
            From the indices of a batch to its result.
        equal_lengths : `bool`
            Whether a batch's inputs must be of one length.
        one_by_one : `bool`
            Whether each input is a batch.
        copies : `bool`
            Whether the work runs copies of a batch together, as many as `pieces` allows.

        # Returns

        `Iterator[Tuple[List[int], T]]`
            Each batch and its result.

        # Raises

        `ConfigurationError`
            If memory does not suffice for one input.
        """
        left = list(range(len(lengths)))
        while left:
            done: List[int] = []
            max_pieces = 0 if one_by_one else self.pieces
            for batch in batches([lengths[i] for i in left], max_pieces, equal_lengths):
                chosen = [left[i] for i in batch]
                result = self._tried(chosen, work)
                if result is None:
                    self._halve(len(chosen), max(lengths[i] for i in chosen), copies)
                    break
                yield (chosen, *result)
                done += chosen
            left = sorted(set(left) - set(done))

    def _tried(self, chosen: List[int], work: Callable[[List[int]], T]) -> Optional[Tuple[T]]:
        """The result, or None if memory ran out; the error, and the tensors that it holds, are gone then."""
        try:
            return (work(chosen),)
        except RuntimeError as error:
            # Before torch 1.13 it has no type of its own.
            if "out of memory" not in str(error):
                raise
            return None

    def _halve(self, inputs: int, length: int, copies: bool) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if inputs == 1 and (not copies or self.pieces <= length):
            raise ConfigurationError(
                f"the device's memory does not suffice for a single text of {length} word pieces; shorten "
                "it, free memory that others take, or explain on the CPU (`--cuda-device -1`)"
            )
        # A batch, without copies of it, may be much less than is allowed.
        tried = self.pieces if copies else min(self.pieces, inputs * length)
        self.pieces = max(1, tried // 2)
        logger.warning(
            "out of memory with %d word pieces at once: from here on at most %d", tried, self.pieces
        )
