"""How a mean and its interval are written."""

from typing import Optional, Sequence


def with_half_width(mean: float, interval: Optional[Sequence[float]]) -> str:
    """A mean, and half the width of its interval where there is one: 0.985±.010."""
    # Three decimals, or as many as leave two digits of a small number.
    digits = 3 if abs(mean) >= 0.01 or mean == 0 else 5
    if interval is None:
        return f"{mean:.{digits}f}"
    half = f"{(interval[1] - interval[0]) / 2:.{digits}f}"
    return f"{mean:.{digits}f}±{half[1:] if half.startswith('0') else half}"
