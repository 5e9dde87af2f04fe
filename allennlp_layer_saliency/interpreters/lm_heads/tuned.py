import hashlib
import os
from typing import Any, Callable, Dict, Mapping

from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.core.translators import Translator
from allennlp_layer_saliency.files import write_whole
from allennlp_layer_saliency.interpreters.lm_heads.lm_head import LMHead
from allennlp_layer_saliency.results_folder import read_json

DESCRIPTION, WEIGHTS = "head.json", "head.safetensors"
# Elements of each parameter that tell a model from another.
LOOKED_AT = 256


@LMHead.register("tuned")
class TunedLMHead(LMHead):
    """
    Another head behind an affine map for each layer, which `allennlp saliency head` fitted to the classifier.

    Registered as an `LMHead` with name "tuned".

    # Parameters

    path : `str`
        The folder that the command wrote.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Decoder:
        described = read_json(os.path.join(self.path, DESCRIPTION))
        if not isinstance(described, dict) or "fingerprint" not in described:
            raise ConfigurationError(
                f"lm_head: {self.path} holds no {DESCRIPTION} of a tuned head; make one with "
                "allennlp saliency head"
            )
        if described["fingerprint"] != fingerprint(transformer):
            raise ConfigurationError(
                f"lm_head: {self.path} was fitted to another model, "
                f"{described['model'].get('archive_file')}: "
                "fit one to this model's weights with allennlp saliency head"
            )
        base = LMHead.from_params(Params(dict(described["base"]))).load(transformer, tokenizer)
        translators = read_translators(os.path.join(self.path, WEIGHTS))
        size = (base.hidden_size, base.hidden_size)
        weights = os.path.join(self.path, WEIGHTS)
        if sorted(translators) != described["fitted"] or any(
            each.weight.shape != size or each.bias.shape != size[:1] for each in translators.values()
        ):
            raise ConfigurationError(
                f"lm_head: {weights} is not as {DESCRIPTION} beside it says; fit the head again"
            )
        return with_translators(base, translators)


def with_translators(base: Decoder, translators: Mapping[int, Translator]) -> Decoder:
    """A head with an affine map before it at some layers; it speaks of no other one."""

    def translator_of(layer: int) -> Callable[[Tensor], Tensor]:
        if layer not in translators:
            fitted = ", ".join(map(str, sorted(translators)))
            raise ConfigurationError(f"the tuned LM head was fitted to layer {fitted}, not to {layer}")
        return translators[layer].translated

    return Decoder(
        logits=base.logits,
        vocabulary_size=base.vocabulary_size,
        hidden_size=base.hidden_size,
        causal=base.causal,
        translator_of=translator_of,
    )


def fingerprint(transformer: PreTrainedModel) -> str:
    """Of a model's weights: SHA-256 of names, shapes, and some elements of each parameter."""
    digest = hashlib.sha256()
    for name, parameter in transformer.named_parameters():
        flat = parameter.detach().flatten()
        some = flat[:: max(1, flat.numel() // LOOKED_AT)].float().cpu().numpy()
        digest.update(f"{name} {tuple(parameter.shape)}\n".encode())
        digest.update(some.tobytes())
    return digest.hexdigest()


def read_translators(path: str) -> Dict[int, Translator]:
    """
    By layer.

    # Raises

    `ConfigurationError`
        If there is no such file, it is damaged, or safetensors is not installed.
    """
    try:
        found = _safetensors().load_file(path)
        layers = sorted({int(name.split(".")[0]) for name in found})
        return {n: Translator(found[f"{n}.weight"].float(), found[f"{n}.bias"].float()) for n in layers}
    except FileNotFoundError:
        raise ConfigurationError(f"lm_head: no file {path}; fit the head again") from None
    except ConfigurationError:
        raise
    except Exception as error:  # safetensors has an error of its own, of no public class in all versions
        raise ConfigurationError(
            f"lm_head: {path} is damaged ({' '.join(str(error).split())}); fit the head again"
        ) from error


def write_translators(path: str, translators: Mapping[int, Translator]) -> None:
    """The file appears whole or not at all."""
    tensors = {
        f"{layer}.{name}": value.cpu().contiguous()
        for layer, translator in translators.items()
        for name, value in zip(("weight", "bias"), translator)
    }
    write_whole(path, _safetensors().save(tensors))


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ConfigurationError(
            "a tuned LM head needs safetensors: pip install 'allennlp-layer-saliency[head]'"
        ) from error
    return safetensors.torch
