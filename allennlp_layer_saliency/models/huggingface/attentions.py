"""The attentions of a transformer's blocks."""

from contextlib import contextmanager
from typing import Any, Iterator, List, Tuple

from torch import Tensor
from transformers import PreTrainedModel


@contextmanager
def attentions(transformer: PreTrainedModel) -> Iterator[List[Tuple[Tensor, ...]]]:
    """
    A list to which each run of the transformer in the block adds its blocks' attentions, of shape (batch,
    heads, positions, positions). They are taken out of its own output.
    """
    found: List[Tuple[Tensor, ...]] = []
    # Other ways to compute attention never hold its weights.
    kind = getattr(transformer.config, "_attn_implementation", None)
    changes = kind not in (None, "eager") and hasattr(transformer, "set_attn_implementation")
    own = transformer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        output = own(*args, **{**kwargs, "output_attentions": True, "return_dict": True})
        of_blocks = output.get("attentions") or output.get("encoder_attentions")
        if of_blocks:
            found.append(of_blocks)
        without = {k: v for k, v in output.items() if not k.endswith("attentions")}
        return type(output)(**without)

    shadowed = "forward" in vars(transformer)
    transformer.forward = forward
    try:
        if changes:
            transformer.set_attn_implementation("eager")
        yield found
    finally:
        if changes:
            transformer.set_attn_implementation(kind)
        if shadowed:
            transformer.forward = own
        else:
            del transformer.forward
