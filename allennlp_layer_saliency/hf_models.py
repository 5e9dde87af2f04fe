"""Everything that differs between Hugging Face architectures: where layers are, and how LM heads load.

`hidden_states[0]` is the embedding output and `hidden_states[L]` what the last block hands to the rest
of the model, as in `output_hidden_states=True`.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from allennlp_layer_saliency.core.capture import Tap, capture, evaluation, recorded
from allennlp_layer_saliency.core.decoding import Decoder


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
    """

    taps: List[Tap]
    final_norm: Optional[torch.nn.Module]
    word_embeddings: torch.nn.Module

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
        return encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)

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
            if torch.equal(tried.token_ids[0], ids) and all(
                torch.equal(tried.hidden_states[layer][0], states[layer]) for layer in taps
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
    given = {
        module: output[0] if isinstance(output, tuple) else output for module, output in outputs
    }

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
        embeddings = [module for module in calls[:start] if gives(module, 0)]
        final = [module for module in calls[end:] if gives(module, last)]
        if embeddings and final:
            return Layers(
                taps=[Tap(module) for module in (embeddings[-1], *blocks[:-1], final[0])],
                final_norm=None if final[0] is blocks[-1] else final[0],
                word_embeddings=next(m for m in calls if isinstance(m, torch.nn.Embedding)),
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
        config = AutoConfig.from_pretrained(model_name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"can't read a pretrained model from {model_name!r}: {_first_line(error)}"
        ) from error
    kind = AutoModelForCausalLM if _is_causal(config) else AutoModelForMaskedLM
    try:
        model, report = kind.from_pretrained(
            model_name, config=config, output_loading_info=True, trust_remote_code=False
        )
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
    return decoder_from(model, causal=kind is AutoModelForCausalLM)


def decoder_from(model: PreTrainedModel, causal: bool = False) -> Decoder:
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
        causal=causal,
    )


def load_classifier(
    model_name: str, archive: Optional[str] = None, load_weights: bool = True
) -> PreTrainedModel:
    """
    A sequence classifier, by hub name, local folder, or folder of an unpacked archive.

    Its configuration's `_name_or_path` is the model that it was fine-tuned from, as far as it says so.

    # Raises

    `ValueError`
        If there is no such classifier, weights are missing from it, or it does not choose one of
        several classes.
    """
    folder = in_archive(model_name, archive)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        # Loading replaces the name of the model that this one was fine-tuned from.
        base = config.get_config_dict(folder)[0].get("_name_or_path") or ""
        if load_weights:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder, config=config, output_loading_info=True, trust_remote_code=False
            )
        else:
            model, report = AutoModelForSequenceClassification.from_config(config), {}
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"no sequence classifier could be loaded from {model_name!r}: {_first_line(error)}"
        ) from error
    missing = [name for name in report.get("missing_keys", []) if not name.endswith("position_ids")]
    if missing:
        raise ValueError(
            f"{model_name!r} is no fine-tuned sequence classifier: it holds no weights for "
            f"{', '.join(missing[:4])}"
        )
    kind = config.problem_type or "single_label_classification"
    if config.num_labels < 2 or kind != "single_label_classification":
        raise ValueError(
            f"{model_name!r} is not supported: it has {config.num_labels} outputs for {kind}; a classifier "
            "that chooses one of several classes is wanted"
        )
    config = model.config  # what was given may have been copied
    config.id2label = {int(index): label for index, label in config.id2label.items()}
    config._name_or_path = base
    if reads_last_position(config):
        # Batches of these are not padded; no token may be taken for padding.
        config.pad_token_id = -1
    return model.eval()


def in_archive(model_name: str, archive: Optional[str]) -> str:
    """The folder of that name in an unpacked archive, if it has one, or else the name itself."""
    if archive is not None:
        root = os.path.realpath(archive)
        folder = os.path.realpath(os.path.join(root, model_name))
        if folder.startswith(root + os.sep) and os.path.isdir(folder):
            return folder
    return model_name


# Their sequence classifiers read the last position, or look for it by the padding token.
_READ_LAST_POSITION = ("ctrl", "gpt2", "gpt_neo", "gptj", "openai-gpt", "opt", "xlnet")


def reads_last_position(config: PretrainedConfig) -> bool:
    """Whether a sequence classifier of this type gives a text other logits when it is padded."""
    return config.model_type in _READ_LAST_POSITION


def takes_token_types(config: PretrainedConfig) -> bool:
    """Whether the model's tokenizer tells it which of two texts a token belongs to."""
    return config.model_type == "xlnet" or (getattr(config, "type_vocab_size", 0) or 0) > 1


@contextmanager
def attentions(transformer: PreTrainedModel) -> Iterator[List[Tuple[Tensor, ...]]]:
    """
    A list to which each run of the transformer in the block adds its blocks' attentions, of shape (batch,
    heads, positions, positions). Who runs it sees its output without them.
    """
    found: List[Tuple[Tensor, ...]] = []
    own = transformer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        output = own(*args, **{**kwargs, "output_attentions": True, "return_dict": True})
        of_blocks = output.get("attentions") or output.get("encoder_attentions")
        if of_blocks:
            found.append(of_blocks)
        without = {k: v for k, v in output.items() if not k.endswith("attentions")}
        return type(output)(**without)

    shadowed = "forward" in vars(transformer)
    transformer.forward = forward  # type: ignore[assignment]
    try:
        yield found
    finally:
        if shadowed:
            transformer.forward = own  # type: ignore[assignment]
        else:
            del transformer.forward


class _GivenHiddenStates(torch.nn.Module):
    """In the place of a base model: returns the hidden states that it is given."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Any:
        return _BaseModelOutput(inputs_embeds)


class _BaseModelOutput:
    """Hidden states only; whatever else an LM class passes on from its base model is None."""

    def __init__(self, last_hidden_state: Tensor) -> None:
        self.last_hidden_state = last_hidden_state

    def __getitem__(self, index: Any) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        return None


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
