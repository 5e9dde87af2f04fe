"""Which inputs go through the model together."""

from typing import List

# Word pieces per forward pass, padding included. More are no faster on a CPU, and need more memory.
MAX_PIECES = 2048
# With so many, a batch of texts of different lengths is closed at this share of padding.
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
