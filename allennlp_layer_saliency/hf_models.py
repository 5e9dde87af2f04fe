"""Everything that differs between Hugging Face architectures: where layers are, and how LM heads load.

`hidden_states[0]` is the embedding output and `hidden_states[L]` what the last block hands to the rest
of the model, as in `output_hidden_states=True`.
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from allennlp_layer_saliency.core.capture import Tap
from allennlp_layer_saliency.core.decoding import Decoder


@dataclass(frozen=True)
class Architecture:
    """
    Where an architecture keeps its layers; all are dotted paths below the base model.

    # Parameters

    blocks : `str`
        The list of blocks; each block's (first) output is its layer's hidden state.
    embeddings : `str`
        The module whose output is h_0. The first that exists of several, separated by "|".
    final_norm : `str`, optional
        A layer norm after the last block, whose output is h_L. An inner state passes through it before
        it is decoded.
    """

    blocks: str
    embeddings: str
    final_norm: Optional[str] = None


_ENCODER = Architecture(blocks="encoder.layer", embeddings="embeddings")

# By `config.model_type`. Every row is tested against `output_hidden_states=True`.
ARCHITECTURES: Dict[str, Architecture] = {
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
}


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


def layer_taps(transformer: PreTrainedModel) -> List[Tap]:
    """
    Where to read each layer, from the embedding output (0) to the last block's output (L).

    # Raises

    `ValueError`
        If the architecture is not known.
    """
    architecture = _architecture(transformer)
    embeddings = next(
        (
            module
            for module in (_at(transformer, path) for path in architecture.embeddings.split("|"))
            if module is not None
        ),
        None,
    )
    blocks = _at(transformer, architecture.blocks)
    if embeddings is None or not isinstance(blocks, torch.nn.ModuleList):
        raise ValueError(
            f"{type(transformer).__name__} has no {architecture.embeddings} and {architecture.blocks}, "
            f"as models of type {transformer.config.model_type} do"
        )
    outputs = [embeddings, *blocks]
    norm = final_norm(transformer)
    if norm is not None:
        outputs[-1] = norm
    return [Tap(module) for module in outputs]


def final_norm(transformer: PreTrainedModel) -> Optional[torch.nn.Module]:
    """The layer norm that the architecture applies after its last block, if it has one."""
    path = _architecture(transformer).final_norm
    return None if path is None else _at(transformer, path)


def max_positions(config: PretrainedConfig) -> Optional[int]:
    """How many word pieces the model's position embeddings have room for; None if unlimited."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or positions <= 0:
        return None
    # RoBERTa and its kin number positions from padding_idx + 1 on.
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        return positions - config.pad_token_id - 1
    return positions


def load_lm_head(model_name: str) -> Decoder:
    """
    The whole LM head of a masked or causal language model, by hub name or local folder.

    The LM class is built and its base model replaced by a stand-in which returns the given hidden
    state, so that every architecture's own head code runs. No remote code is run.

    # Raises

    `ValueError`
        If there is no such model, no LM class for it, or weights of the head are missing from it.
    """
    try:
        config = AutoConfig.from_pretrained(model_name)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"can't read a pretrained model from {model_name!r}: {_first_line(error)}"
        ) from error
    kind = AutoModelForCausalLM if _is_causal(config) else AutoModelForMaskedLM
    try:
        model, report = kind.from_pretrained(model_name, config=config, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"no language model could be loaded from {model_name!r}: {_first_line(error)}"
        ) from error
    missing = _missing_head_weights(model, report["missing_keys"])
    if missing:
        raise ValueError(
            f"{model_name!r} holds no weights for its LM head ({', '.join(missing)}); name a pretrained "
            "language model, or use the tied-embeddings head"
        )
    return decoder_from(model)


def decoder_from(model: PreTrainedModel) -> Decoder:
    """The head of a Hugging Face language model whose base model is no longer needed."""
    config = model.config
    weight = model.get_output_embeddings().weight.detach()
    setattr(model, model.base_model_prefix, _GivenHiddenStates())
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)

    def logits(hidden_states: Tensor) -> Tensor:
        head = model.to(device=hidden_states.device)
        with torch.no_grad():
            # A batch of one sequence. Shape: (1, positions, vocabulary)
            return head(inputs_embeds=hidden_states.to(weight.dtype).unsqueeze(0)).logits[0]

    return Decoder(
        logits=logits,
        vocabulary_size=weight.size(0),
        hidden_size=config.hidden_size,
        output_embeddings=weight,
    )


class _GivenHiddenStates(torch.nn.Module):
    """In the place of a base model: returns the hidden states that it is given."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Any:
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=inputs_embeds)


def _architecture(transformer: PreTrainedModel) -> Architecture:
    model_type = transformer.config.model_type
    if model_type not in ARCHITECTURES:
        lists = [
            f"{name} ({len(m)} x {type(m[0]).__name__})"
            for name, m in transformer.named_modules()
            if isinstance(m, torch.nn.ModuleList) and len(m)
        ]
        raise ValueError(
            f"models of type {model_type!r} are not supported ({', '.join(sorted(ARCHITECTURES))} are); "
            f"{type(transformer).__name__} has the module lists {', '.join(lists) or 'none'}"
        )
    return ARCHITECTURES[model_type]


def _at(module: torch.nn.Module, path: str) -> Optional[torch.nn.Module]:
    for name in path.split("."):
        module = getattr(module, name, None)  # type: ignore[assignment]
        if module is None:
            return None
    return module


def _is_causal(config: PretrainedConfig) -> bool:
    names = config.architectures or []
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        return True
    return type(config) not in AutoModelForMaskedLM._model_mapping.keys()


def _missing_head_weights(model: PreTrainedModel, missing_keys: List[str]) -> List[str]:
    """Of the missing keys those of the head that share no storage with a weight that was loaded."""
    # Not `named_parameters`: it gives a tied weight under one of its names only.
    weights = model.state_dict(keep_vars=True)
    loaded = {weight.data_ptr() for name, weight in weights.items() if name not in missing_keys}
    return [
        name
        for name in missing_keys
        if not name.startswith(f"{model.base_model_prefix}.")
        and isinstance(weights.get(name), torch.nn.Parameter)
        and weights[name].data_ptr() not in loaded
    ]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
