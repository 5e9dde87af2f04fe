"""What versions of transformers need before their models load and run beside AllenNLP and NumPy."""

import sys
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator

import numpy
import torch
import transformers
from transformers import PreTrainedModel

# From version 5 on models load in the type that their file has.
FLOAT32: Dict[str, Any] = {
    "torch_dtype" if transformers.__version__.startswith("4.") else "dtype": torch.float32
}


def is_own_hook(hook: Callable) -> bool:
    """Whether transformers has put a hook there itself, for a model's `hidden_states` and `attentions`."""
    return getattr(hook, "__module__", "") == "transformers.utils.output_capturing"


@contextmanager
def recorders_last(transformer: PreTrainedModel) -> Iterator[None]:
    """
    Have transformers' own hooks run after all others while the block runs: what they keep as the model's
    `hidden_states` is then what others have put in a state's place.
    """
    tables = [
        module._forward_hooks
        for module in transformer.modules()
        if any(map(is_own_hook, module._forward_hooks.values()))
    ]
    before = [list(table) for table in tables]
    for table in tables:
        for key in [key for key, hook in table.items() if is_own_hook(hook)]:
            table.move_to_end(key)
    try:
        yield
    finally:
        for table, order in zip(tables, before):
            for key in order:
                if key in table:
                    table.move_to_end(key)


@contextmanager
def loading() -> Iterator[None]:
    """
    Load without progress bars and without notes of weights that are not needed.

    Weights that are one stay one: transformers 4.43 puts a file's weights in the place of the model's own, so
    that the bias of some LM heads stays 0 where the file has it under one of its two names.
    """
    own = transformers.utils.logging
    level = own.get_verbosity()
    bars = getattr(own, "is_progress_bar_enabled", lambda: False)()
    assigns = getattr(PreTrainedModel, "_supports_param_buffer_assignment", None)
    own.set_verbosity_error()
    if bars:
        own.disable_progress_bar()
    if assigns is not None:
        PreTrainedModel._supports_param_buffer_assignment = False
    try:
        yield
    finally:
        own.set_verbosity(level)
        if bars:
            own.enable_progress_bar()
        if assigns is not None:
            PreTrainedModel._supports_param_buffer_assignment = assigns


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
