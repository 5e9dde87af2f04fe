"""What a piece of work takes."""

import ctypes
import time
from contextlib import contextmanager
from typing import Dict, Iterator, Optional

import torch


@contextmanager
def measured(device: torch.device) -> Iterator[Dict[str, Optional[float]]]:
    """
    `seconds`, and `peak_mb`: by how many MiB memory grew at its peak while the block ran. On a GPU that is
    the device's memory; on the CPU the process's, which only Linux tells (None elsewhere).
    """
    found: Dict[str, Optional[float]] = {"seconds": None, "peak_mb": None}
    before = _start(device)
    start = time.perf_counter()
    yield found
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    found["seconds"] = time.perf_counter() - start
    if before is not None:
        found["peak_mb"] = max(0.0, _peak(device) - before)


def _start(device: torch.device) -> Optional[float]:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**20
    try:
        # What others have freed is given back, so that it does not hide what the work needs.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts anew
        return _status("VmRSS")
    except (AttributeError, OSError):
        return None


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return _status("VmHWM")


def _status(field: str) -> float:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
