"""What versions of transformers need before their models load and run beside AllenNLP and NumPy."""

import sys
from typing import Any, Dict

import numpy
import torch
from transformers import PreTrainedModel


def _load_from_state_dict(
    self: PreTrainedModel, state_dict: Dict[str, Any], prefix: str, *args: Any
) -> None:
    """
    Load weights that an earlier version of transformers saved.

    Position numbers and causal masks were saved until 4.31, and are computed since. `from_pretrained`
    passes over them; AllenNLP's own loading refuses an archive in which it finds them.
    """
    for name, module in self.named_modules(prefix=prefix.rstrip(".")):
        for buffer in module._non_persistent_buffers_set:
            state_dict.pop(f"{name}.{buffer}" if name else buffer, None)
    torch.nn.Module._load_from_state_dict(self, state_dict, prefix, *args)


# No version choice helps: AllenNLP knows no hook for keys that it does not expect.
PreTrainedModel._load_from_state_dict = _load_from_state_dict  # type: ignore[assignment]


# transformers 4.43 puts a file's weights in the place of the model's own, which parts weights that are one:
# the bias of some LM heads stays 0 where the file has it under one of its two names.
PreTrainedModel._supports_param_buffer_assignment = False  # type: ignore[attr-defined]


class _NumpyWithInt:
    """NumPy, with the alias that it lost in 1.24."""

    int = int

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)


def mend_numpy_int(model: PreTrainedModel) -> None:
    """
    Let a model whose module asks for `numpy.int`, as DeBERTa's second and third version do in transformers
    before 4.23, run with a NumPy that no longer has it. Nothing but that module sees a difference.
    """
    module = sys.modules[type(model).__module__]
    if getattr(module, "np", None) is numpy and not hasattr(numpy, "int"):
        module.np = _NumpyWithInt()  # type: ignore[attr-defined]
