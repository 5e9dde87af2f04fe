"""
Where each architecture's layers are, and what its inputs have to be.

`hidden_states[0]` is the embedding output and `hidden_states[L]` what the last block hands to the rest
of the model, as in `output_hidden_states=True`.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from allennlp_layer_saliency.core.capture import Tap, capture, evaluation, recorded
from allennlp_layer_saliency.models.huggingface.loading import mend_numpy_int


@dataclass(frozen=True)
class Architecture:
    """
    Where an architecture keeps its layers; all are dotted paths below the encoder.

    # Parameters

    blocks : `str`
        The list of blocks; each block's (first) output is its layer's hidden state.
    embeddings : `str`
        The module whose output is h_0. The first that exists of several, separated by "|".
    final_norm : `str`, optional
        A layer norm after the last block, whose output is h_L. An inner state passes through it before
        it is decoded.
    shared : `bool`
        Whether the list holds groups of layers with the same weights, each called several times.
    time_major : `bool`
        Whether states are (positions, batch, hidden).
    """

    blocks: str
    embeddings: str
    final_norm: Optional[str] = None
    shared: bool = False
    time_major: bool = False


_ENCODER = Architecture(blocks="encoder.layer", embeddings="embeddings")


# By `config.model_type`. Every row is tested against `output_hidden_states=True`; a model of another
# type is compared with it when it is first met.
ARCHITECTURES: Dict[str, Architecture] = {
    "albert": Architecture(
        blocks="encoder.albert_layer_groups",
        embeddings="encoder.embedding_hidden_mapping_in",
        shared=True,
    ),
    "bart": Architecture(blocks="layers", embeddings="layernorm_embedding"),
    "bert": _ENCODER,
    "camembert": _ENCODER,
    "deberta": _ENCODER,
    "deberta-v2": _ENCODER,
    "distilbert": Architecture(blocks="transformer.layer", embeddings="embeddings"),
    "electra": Architecture(blocks="encoder.layer", embeddings="embeddings_project|embeddings"),
    "gpt2": Architecture(blocks="h", embeddings="drop", final_norm="ln_f"),
    "mpnet": _ENCODER,
    "roberta": _ENCODER,
    "xlm-roberta": _ENCODER,
    "xlnet": Architecture(blocks="layer", embeddings="word_embedding", time_major=True),
}


# Their position embeddings number positions from padding_idx + 1 on.
_POSITIONS_AFTER_PADDING = (
    "camembert",
    "data2vec-text",
    "ibert",
    "longformer",
    "mpnet",
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
)


@contextmanager
def without_cache(transformer: PreTrainedModel) -> Iterator[None]:
    """
    Have a decoder keep no keys and values while the block runs: it would look for those of blocks that are
    passed over when the model is resumed above them.
    """
    config = transformer.config
    before = getattr(config, "use_cache", None)
    if before is None:
        yield
        return
    config.use_cache = False
    try:
        yield
    finally:
        config.use_cache = before


class Layers(NamedTuple):
    """
    A transformer's layers.

    # Parameters

    taps : `List[Tap]`
        Where each layer is read, from the embedding output (0) to the last block's output (L).
    final_norm : `torch.nn.Module`, optional
        The layer norm that the architecture applies after its last block, if it has one.
    word_embeddings : `torch.nn.Module`
        What turns token ids into vectors.
    transformer : `PreTrainedModel`
        Whose layers they are.
    """

    taps: List[Tap]
    final_norm: Optional[torch.nn.Module]
    word_embeddings: torch.nn.Module
    transformer: PreTrainedModel

    def for_head(self, hidden_states: Tensor, layer: int) -> Tensor:
        """A layer's states as an LM head expects them: through the final norm, if they are not yet."""
        if self.final_norm is None or layer == len(self.taps) - 1:
            return hidden_states
        with torch.no_grad():
            dtype = next(self.final_norm.parameters()).dtype
            return self.final_norm(hidden_states.to(dtype)).float()


def find_transformer(model: torch.nn.Module, path: Optional[str] = None) -> PreTrainedModel:
    """
    The Hugging Face model inside `model`: the outermost one, or the module at the dotted `path`.

    # Raises

    `ValueError`
        If there is none or several, or if `path` leads to no Hugging Face model.
    """
    found = {name: m for name, m in model.named_modules() if isinstance(m, PreTrainedModel)}
    if path is not None:
        if path not in found:
            raise ValueError(
                f"transformer: no Hugging Face model at {path!r}; there is one at "
                f"{sorted(found) or 'no path'}"
            )
        return found[path]
    outermost = [
        name
        for name in found
        if not any(name.startswith(f"{other}.") or other == "" for other in found if other != name)
    ]
    if not outermost:
        parts = ", ".join(f"{name} ({type(m).__name__})" for name, m in model.named_children())
        raise ValueError(
            f"{type(model).__name__} contains no Hugging Face transformer, whose layers could be read; "
            f"it consists of {parts or 'nothing'}"
        )
    if len(outermost) > 1:
        raise ValueError(
            f"{type(model).__name__} contains several transformers; choose one with "
            f"`transformer`: {', '.join(sorted(outermost))}"
        )
    return found[outermost[0]]


def layers_of(transformer: PreTrainedModel) -> Layers:
    """
    Where the transformer's layers are; of an encoder-decoder model those of the encoder.

    # Raises

    `ValueError`
        If the architecture is neither known nor recognised.
    """
    encoder = transformer.base_model
    mend_numpy_int(encoder)
    if encoder.config.is_encoder_decoder and hasattr(encoder, "decoder"):
        encoder = encoder.get_encoder()
    architecture = ARCHITECTURES.get(encoder.config.model_type)
    if architecture is None:
        return _recognised(encoder)
    embeddings = next(
        (
            module
            for module in (_at(encoder, path) for path in architecture.embeddings.split("|"))
            if module is not None
        ),
        None,
    )
    blocks = _at(encoder, architecture.blocks)
    if embeddings is None or not isinstance(blocks, torch.nn.ModuleList):
        raise ValueError(
            f"{type(encoder).__name__} has no {architecture.embeddings} and {architecture.blocks}, "
            f"as models of type {encoder.config.model_type} do"
        )
    outputs = [Tap(embeddings), *map(Tap, blocks)]
    if architecture.shared:
        outputs[1:] = _shared(blocks, encoder.config.num_hidden_layers)
    norm = None if architecture.final_norm is None else _at(encoder, architecture.final_norm)
    if norm is not None:
        outputs[-1] = Tap(norm)
    return Layers(
        taps=[replace(tap, time_major=architecture.time_major) for tap in outputs],
        final_norm=norm,
        word_embeddings=encoder.get_input_embeddings(),
        transformer=encoder,
    )


def _shared(groups: torch.nn.ModuleList, layers: int) -> List[Tap]:
    """Layers that are spread evenly over groups, in order."""
    group_of = [layer * len(groups) // layers for layer in range(layers)]
    return [
        Tap(
            groups[group],
            call=layer - group_of.index(group),
            calls=group_of.count(group),
        )
        for layer, group in enumerate(group_of)
    ]


def _recognised(encoder: PreTrainedModel) -> Layers:
    """
    The layers of an architecture that is not in the table: those modules whose outputs are the model's
    own `hidden_states`, looked up on a few tokens, and tried.
    """
    ids = torch.arange(1, 13, device=encoder.device).reshape(2, 6) % encoder.config.vocab_size
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0

    def forward() -> Any:
        with without_cache(encoder):
            return encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True, return_dict=True)

    def score(output: Any) -> Tensor:
        return output[0][:, 0].sum(-1).unsqueeze(0)

    try:
        parts = [module for module in encoder.modules() if module is not encoder]
        with evaluation(encoder), torch.no_grad(), recorded(*parts) as outputs:
            states = forward().hidden_states
        layers = _giving(encoder, states, outputs)
        if layers is not None:
            # A model may change a state in place, or go on with a copy of it.
            taps = dict(enumerate(layers.taps))
            tried = capture(encoder, taps, forward, score, layers.word_embeddings)
            own = [layer for layer, tap in taps.items() if tap.module is not layers.word_embeddings]
            if torch.equal(tried.token_ids[0], ids) and all(
                torch.equal(tried.hidden_states[layer][0], states[layer]) for layer in own
            ):
                return layers
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise _not_recognised(encoder) from error
    raise _not_recognised(encoder)


def _giving(
    encoder: PreTrainedModel,
    states: Sequence[Tensor],
    outputs: List[Tuple[torch.nn.Module, Any]],
) -> Optional[Layers]:
    """The list of blocks and what is around it, if their outputs are the states."""
    calls = [module for module, _ in outputs]
    given = {module: output[0] if isinstance(output, tuple) else output for module, output in outputs}

    def gives(module: torch.nn.Module, layer: int) -> bool:
        output = given.get(module)
        return (
            calls.count(module) == 1
            and isinstance(output, Tensor)
            and output.shape == states[layer].shape
            and torch.equal(output, states[layer])
        )

    last = len(states) - 1
    for blocks in encoder.modules():
        if not isinstance(blocks, torch.nn.ModuleList) or len(blocks) != last or last < 2:
            continue
        if not all(gives(block, layer) for layer, block in enumerate(blocks[:-1], start=1)):
            continue
        start = min(calls.index(part) for part in blocks[0].modules() if part in given)
        end = calls.index(blocks[-1])
        words = next((m for m in calls if isinstance(m, torch.nn.Embedding)), None)
        if words is None:
            return None
        # Some models scale the words' vectors, or add positions, outside of any module: h_0 is the words'
        # vectors alone then.
        embeddings: List[torch.nn.Module] = [words] if given[words].shape == states[0].shape else []
        embeddings += [module for module in calls[:start] if gives(module, 0)]
        final = [module for module in calls[end:] if gives(module, last)]
        if embeddings and final:
            return Layers(
                taps=[Tap(module) for module in (embeddings[-1], *blocks[:-1], final[0])],
                final_norm=None if final[0] is blocks[-1] else final[0],
                word_embeddings=words,
                transformer=encoder,
            )
    return None


def _not_recognised(encoder: PreTrainedModel) -> ValueError:
    lists = [
        f"{name} ({len(m)} x {type(m[0]).__name__})"
        for name, m in encoder.named_modules()
        if isinstance(m, torch.nn.ModuleList) and len(m)
    ]
    return ValueError(
        f"models of type {encoder.config.model_type!r} are not supported "
        f"({', '.join(sorted(ARCHITECTURES))} are), and no list of blocks in {type(encoder).__name__} gives "
        f"the model's own hidden states; it has the module lists {', '.join(lists) or 'none'}"
    )


def max_positions(config: PretrainedConfig) -> Optional[int]:
    """How many word pieces the model's position embeddings have room for; None if unlimited."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or positions <= 0 or not getattr(config, "position_biased_input", True):
        return None
    if config.model_type in _POSITIONS_AFTER_PADDING:
        return positions - config.pad_token_id - 1
    return positions


def takes_token_types(config: PretrainedConfig) -> bool:
    """Whether the model's tokenizer tells it which of two texts a token belongs to."""
    return config.model_type == "xlnet" or (getattr(config, "type_vocab_size", 0) or 0) > 1


def _at(module: torch.nn.Module, path: str) -> Optional[torch.nn.Module]:
    for name in path.split("."):
        module = getattr(module, name, None)  # type: ignore[assignment]
        if module is None:
            return None
    return module
