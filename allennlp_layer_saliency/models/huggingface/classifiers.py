"""Classifiers of sequences and of tokens as Hugging Face saves them."""

import os
from typing import Optional

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from allennlp_layer_saliency.core.capture import evaluation
from allennlp_layer_saliency.models.huggingface.folders import (
    check_weights,
    config_dict,
    fine_tuned_from,
    one_line,
)
from allennlp_layer_saliency.models.huggingface.loading import FLOAT32, loading, mend_numpy_int

# What a classifier's `problem_type` may be.
SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"

_AUTO = {
    "sequence classifier": AutoModelForSequenceClassification,
    "token classifier": AutoModelForTokenClassification,
}


def is_tagger(model_name: str) -> bool:
    """
    Whether a folder's or hub name's model is a token classifier.

    # Raises

    `ValueError`
        If there is none.
    """
    names = config_dict(model_name).get("architectures") or []
    return any(name.endswith("ForTokenClassification") for name in names)


def load_classifier(
    model_name: str,
    archive: Optional[str] = None,
    load_weights: bool = True,
    kind: str = "sequence classifier",
    untrained_head: bool = False,
) -> PreTrainedModel:
    """
    A sequence or token classifier, by hub name, local folder, or folder of an unpacked archive.

    Its configuration's `_name_or_path` is the model that it was fine-tuned from, as far as it says so. With
    `untrained_head` it may be a plain encoder, for its hidden states: its classes then mean nothing.

    # Raises

    `ValueError`
        If there is no such classifier, weights are missing from it, or its `problem_type` does not fit its
        outputs.
    """
    auto = _AUTO[kind]
    folder = in_archive(model_name, archive)
    saved = config_dict(folder)
    # Loading replaces the name of the model that this one was fine-tuned from.
    base = fine_tuned_from(folder) or ""
    with one_line(f"no {kind} could be loaded from {model_name!r}"), loading():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if saved.get("id2label"):
            # Its length is the number of outputs.
            labels = {int(index): label for index, label in saved["id2label"].items()}
            config.id2label = {i: labels.get(i, f"LABEL_{i}") for i in range(max(labels) + 1)}
        if load_weights:
            check_weights(folder)
            # What an untrained head draws is nobody else's.
            with torch.random.fork_rng(devices=[], enabled=untrained_head):
                model, report = auto.from_pretrained(
                    folder,
                    config=config,
                    output_loading_info=True,
                    trust_remote_code=False,
                    **FLOAT32,
                )
        else:
            model = auto.from_config(config, **FLOAT32)
            report = {}
    missing = [name for name in report.get("missing_keys", []) if not name.endswith("position_ids")]
    if untrained_head:
        # A plain encoder may have an LM head of its own.
        base = model_name if missing else base
        # Nor does a pooler change hidden states.
        prefix = model.base_model_prefix
        missing = [name for name in missing if name.startswith(f"{prefix}.") and ".pooler." not in name]
    if missing:
        raise ValueError(
            f"{model_name!r} is not {'an encoder' if untrained_head else f'a fine-tuned {kind}'}: it holds "
            f"no weights for {', '.join(missing[:4])}"
        )
    # What was given may have been copied.
    model.config._name_or_path = base
    return usable(model, repr(model_name)).eval()


def problem_type(config: PretrainedConfig) -> str:
    """
    What a classifier's outputs are. Where its configuration does not say so, one output is a regression's,
    and several are a choice of one class.
    """
    return config.problem_type or (REGRESSION if config.num_labels == 1 else SINGLE_LABEL)


def usable(model: PreTrainedModel, name: str) -> PreTrainedModel:
    """
    The model, its configuration made ready for explaining; errors call it by its name.

    # Raises

    `ValueError`
        If its `problem_type` is unknown, or does not fit its number of outputs.
    """
    config, kind = model.config, problem_type(model.config)
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError(f"{name} is not supported: it is quantised, and gradients need whole weights")
    if kind not in (SINGLE_LABEL, MULTI_LABEL, REGRESSION):
        raise ValueError(
            f"{name} is not supported: its problem_type is {kind!r}; {SINGLE_LABEL}, {MULTI_LABEL} and "
            f"{REGRESSION} are known"
        )
    if config.num_labels < (2 if kind == SINGLE_LABEL else 1):
        raise ValueError(f"{name} is not supported: it has {config.num_labels} outputs for {kind}")
    config.id2label = {int(index): label for index, label in config.id2label.items()}
    mend_numpy_int(model)
    return model


def plain(classifier: PreTrainedModel) -> None:
    """Have a classifier give outputs by name, and take batches without a padding token."""
    config = classifier.config
    config.return_dict = True
    config.torchscript = False
    if config.pad_token_id is None:
        # Decoders refuse a batch then. No token has this id, and the last position is read.
        config.pad_token_id = -1


def padding_matters(classifier: PreTrainedModel) -> bool:
    """
    Whether the classifier gives a text other logits when padding follows it, as most of those do that read
    the last position: found by trying, on a few tokens. What pads is not the model's own padding token, as a
    tokenizer may have another one or none.
    """
    config = classifier.config
    marked = {
        getattr(config, name, None)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
    }
    *ids, padding = [i for i in range(config.vocab_size) if i not in marked][-5:]
    if isinstance(config.eos_token_id, int) and config.is_encoder_decoder:
        ids.append(config.eos_token_id)
    device = next(classifier.parameters()).device

    def logits(*pads: int) -> torch.Tensor:
        mask = [1] * len(ids) + [0] * len(pads)
        return classifier(
            input_ids=torch.tensor([[*ids, *pads]], device=device),
            attention_mask=torch.tensor([mask], device=device),
        ).logits

    try:
        with evaluation(classifier), torch.no_grad():
            alone, padded = logits(), logits(padding, padding, padding)
    except (IndexError, RuntimeError, TypeError, ValueError):
        return True  # texts of equal length do in any case
    if alone.dim() == 3:
        padded = padded[:, : len(ids)]
    return not torch.allclose(alone, padded, rtol=1e-3, atol=1e-4 * float(alone.abs().max()))


def in_archive(model_name: str, archive: Optional[str]) -> str:
    """The folder of that name in an unpacked archive, if it has one, or else the name itself."""
    if archive is not None:
        root = os.path.realpath(archive)
        folder = os.path.realpath(os.path.join(root, model_name))
        if folder.startswith(root + os.sep) and os.path.isdir(folder):
            return folder
    return model_name
