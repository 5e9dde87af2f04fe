"""Folders of models, and in one line what keeps one from being loaded."""

import json
import os
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

import tokenizers
import transformers
from huggingface_hub.repocard import metadata_load
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

# Without it transformers reads no model.safetensors.
_READS_SAFETENSORS = hasattr(transformers.utils, "SAFE_WEIGHTS_NAME")


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """
    Turn whatever transformers, tokenizers or safetensors raise into a `ValueError` of one line that begins
    with `what`: of their errors many have no type of their own.
    """
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split()) or "no reason is given"
        if not isinstance(error, (OSError, ValueError, RuntimeError)):
            text = f"{type(error).__name__}: {text}"
        raise ValueError(f"{what}: {text[:400]}") from error


def load_tokenizer(model_name: str) -> PreTrainedTokenizerBase:
    """
    A model's tokenizer, by hub name or local folder.

    # Raises

    `ValueError`
        If there is none that this version of tokenizers can read.
    """
    advice = f"no tokenizer could be loaded from {model_name!r}"
    if os.path.isdir(model_name):
        files = [name for name in os.listdir(model_name) if name != "config.json"]
        if not any("token" in name or name.startswith("vocab") for name in files) and not any(
            name.endswith((".model", ".bpe.codes")) for name in files
        ):
            raise ValueError(
                f"{advice}: it holds no tokenizer; save the one that the model was trained with there: "
                "`tokenizer.save_pretrained(FOLDER)`"
            )
        if "tokenizer.json" in files:
            advice += (
                f" with tokenizers {tokenizers.__version__} (was its tokenizer.json saved by a later "
                "version? save it again with this one, or install the later one)"
            )
    with one_line(advice):
        return AutoTokenizer.from_pretrained(model_name, trust_remote_code=False)


def config_dict(model_name: str) -> Dict[str, Any]:
    """
    What a model's config.json holds, by hub name or local folder.

    # Raises

    `ValueError`
        If there is none, or the model can't be loaded by this version of transformers.
    """
    what = f"can't read a pretrained model from {model_name!r}"
    _check_folder(model_name)
    with one_line(what):
        config, _ = PretrainedConfig.get_config_dict(model_name)
    kind = config.get("model_type")
    if kind is not None and kind not in CONFIG_MAPPING.keys():  # noqa: SIM118  # which names are in it
        if config.get("auto_map"):
            raise ValueError(f"{what}: it needs code of its own ({kind}), and remote code is never run")
        saved = config.get("transformers_version")
        raise ValueError(
            f"{what}: transformers {transformers.__version__} knows no models of type {kind!r}; install a "
            f"version that does{f' (it was saved by {saved})' if saved else ''}"
        )
    quantised = config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method", "an unnamed method")
        raise ValueError(
            f"{what}: it is quantised ({method}), and gradients need whole weights; take the model that it "
            "was made from, or save it dequantised"
        )
    return config


def _check_folder(model_name: str) -> None:
    """Refuse a path that does not hold a complete model that transformers can read."""
    what = f"can't read a pretrained model from {model_name!r}"
    if os.path.isfile(model_name):
        raise ValueError(f"{what}: it is a file; the folder that `save_pretrained` wrote is wanted")
    if not os.path.isdir(model_name):
        if os.path.isabs(model_name) or model_name.startswith((".", "~")) or model_name.count("/") > 1:
            raise ValueError(f"{what}: there is no such folder, and names on the hub look otherwise")
        return
    files = sorted(os.listdir(model_name))
    weights = _weights(files)
    if "adapter_config.json" in files and not weights:
        base = _read(os.path.join(model_name, "adapter_config.json")).get("base_model_name_or_path")
        raise ValueError(
            f"{what}: it holds a PEFT adapter of {base or 'another model'}, not a whole model; save the "
            "merged one: `model.merge_and_unload().save_pretrained(FOLDER)`"
        )
    if "config.json" not in files:
        raise ValueError(
            f"{what}: it holds no config.json; the folder that `save_pretrained` wrote is wanted, and this "
            f"holds {', '.join(files[:5]) or 'nothing'}"
        )


def check_weights(model_name: str) -> None:
    """
    # Raises

    `ValueError`
        If a local folder has no weights, or only such as this version of transformers can't read.
    """
    if not os.path.isdir(model_name):
        return
    files = sorted(os.listdir(model_name))
    weights = _weights(files)
    what = f"no weights could be loaded from {model_name!r}"
    if not weights:
        raise ValueError(
            f"{what}: it holds no pytorch_model.bin or model.safetensors, but {', '.join(files[:5])}"
        )
    if not _READS_SAFETENSORS and all("safetensors" in name for name in weights):
        raise ValueError(
            f"{what}: transformers {transformers.__version__} reads no safetensors; save it with "
            "`model.save_pretrained(FOLDER, safe_serialization=False)`, or use later versions"
        )
    for name in weights:
        if name.endswith(".index.json"):
            needed = set(_read(os.path.join(model_name, name)).get("weight_map", {}).values())
            missing = sorted(needed - set(files))
            if missing:
                raise ValueError(f"{what}: {name} names {', '.join(missing)}, which is not there")


def fine_tuned_from(model_name: str) -> Optional[str]:
    """
    The model that a model was fine-tuned from, as far as its config.json or its model card says so: later
    versions of transformers write it to the card only.
    """
    try:
        with one_line(model_name):
            base = PretrainedConfig.get_config_dict(model_name)[0].get("_name_or_path")
            base = base or _base_of_card(os.path.join(model_name, "README.md"))
    except ValueError:
        return None
    return base or None


def _base_of_card(path: str) -> Optional[str]:
    """`base_model` of a model card, where it is one."""
    if not os.path.isfile(path):
        return None
    base = (metadata_load(path) or {}).get("base_model")
    if isinstance(base, list):
        base = base[0] if len(base) == 1 else None
    return base if isinstance(base, str) else None


def _weights(files: List[str]) -> List[str]:
    return [
        name
        for name in files
        if name.startswith(("pytorch_model", "model")) and "token" not in name
        if name.endswith((".bin", ".safetensors", ".index.json"))
    ]


def _read(path: str) -> Dict[str, Any]:
    with one_line(f"{path} can't be read"), open(path, encoding="utf-8") as file:
        return json.load(file)
