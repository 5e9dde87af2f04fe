"""LM heads: each architecture's own, with its base model taken away."""

from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PretrainedConfig,
    PreTrainedModel,
)

from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.models.huggingface.folders import config_dict, one_line
from allennlp_layer_saliency.models.huggingface.loading import FLOAT32, loading


def load_lm_head(model_name: str) -> Decoder:
    """
    The whole LM head of a masked or causal language model, by hub name or local folder.

    The LM class is built and its base model replaced by a stand-in which returns the given hidden
    state, so that every architecture's own head code runs. No remote code is run.

    # Raises

    `ValueError`
        If there is no such model, no LM class for it, or weights of the head are missing from it.
    """
    config_dict(model_name)
    with one_line(f"can't read a pretrained model from {model_name!r}"):
        config = AutoConfig.from_pretrained(model_name, trust_remote_code=False)
    kind = AutoModelForCausalLM if _is_causal(config) else AutoModelForMaskedLM

    def loaded(kind: Any) -> Tuple[PreTrainedModel, List[str], List[str]]:
        with one_line(f"no language model could be loaded from {model_name!r}"), loading():
            model, report = kind.from_pretrained(
                model_name,
                config=config,
                output_loading_info=True,
                trust_remote_code=False,
                **FLOAT32,
            )
        return model, _missing_head_weights(model, report["missing_keys"]), report["unexpected_keys"]

    model, missing, unexpected = loaded(kind)
    if missing and hasattr(config, "legacy") and any(n.startswith("lm_predictions.") for n in unexpected):
        # DeBERTa's second version as its authors publish it; transformers 5 reads its head.
        config.legacy = False
        told_all = type("_ToldAll", (type(model),), {"_keys_to_ignore_on_load_unexpected": None})
        published, still_missing, others = loaded(told_all)
        # Discriminators, as of the third version, hold a head that was not trained with them.
        if not any(name.startswith("mask_predictions.") for name in others):
            model, missing = published, still_missing
    if missing:
        raise ValueError(
            f"{model_name!r} holds no weights for its LM head ({', '.join(missing)}); name a pretrained "
            "language model, or use the tied-embeddings head"
        )
    return decoder_from(model, causal=kind is AutoModelForCausalLM)


def load_encoder(model_name: str) -> PreTrainedModel:
    """
    A pre-trained model without its head, by hub name or local folder. No remote code is run.

    # Raises

    `ValueError`
        If there is no such model.
    """
    config_dict(model_name)
    with one_line(f"no model could be loaded from {model_name!r}"), loading():
        return AutoModel.from_pretrained(model_name, trust_remote_code=False, **FLOAT32).eval()


def decoder_from(model: PreTrainedModel, causal: bool = False) -> Decoder:
    """The head of a Hugging Face language model whose base model is no longer needed."""
    config = model.config
    weight = model.get_output_embeddings().weight.detach()
    if len(weight) < config.vocab_size:
        # DeBERTa's head names its dense layer; its output embeddings are the input's.
        weight = model.get_input_embeddings().weight.detach()
    setattr(model, model.base_model_prefix, _GivenHiddenStates(model.base_model))
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)

    def logits(hidden_states: Tensor) -> Tensor:
        head = model.to(device=hidden_states.device)
        with torch.set_grad_enabled(hidden_states.requires_grad):
            # A batch of one sequence. Shape: (1, positions, vocabulary)
            return head(inputs_embeds=hidden_states.to(weight.dtype).unsqueeze(0)).logits[0]

    return Decoder(
        logits=logits,
        vocabulary_size=weight.size(0),
        hidden_size=config.hidden_size,
        output_embeddings=weight,
        causal=causal,
    )


class _GivenHiddenStates(torch.nn.Module):
    """Stands in for a base model: returns the hidden states that it is given."""

    def __init__(self, base: torch.nn.Module) -> None:
        super().__init__()
        # Some heads look up the word embeddings there.
        self.embeddings = getattr(base, "embeddings", None)

    @property
    def decoder(self) -> "_GivenHiddenStates":
        """Some classes, such as OPT's, call a part of their base model."""
        return self

    def forward(self, *others: Any, inputs_embeds: Optional[Tensor] = None, **_: Any) -> Any:
        if inputs_embeds is None:
            # Some LM classes hand everything on by position; nothing else was given.
            (inputs_embeds,) = (other for other in others if isinstance(other, Tensor))
        return _BaseModelOutput(inputs_embeds)


class _BaseModelOutput:
    """Hidden states only; whatever else an LM class passes on from its base model is None."""

    def __init__(self, last_hidden_state: Tensor) -> None:
        self.last_hidden_state = last_hidden_state

    def __getitem__(self, index: Any) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        return None


def _is_causal(config: PretrainedConfig) -> bool:
    names = config.architectures or []
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        return True
    return type(config) not in AutoModelForMaskedLM._model_mapping.keys()  # noqa: SIM118


def _missing_head_weights(model: PreTrainedModel, missing_keys: List[str]) -> List[str]:
    """The head's missing keys, without those that share storage with a weight that was loaded."""
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
