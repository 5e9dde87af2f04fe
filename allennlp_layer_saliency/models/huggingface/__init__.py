"""Everything that differs between Hugging Face architectures."""

from allennlp_layer_saliency.models.huggingface import loading  # noqa: F401
from allennlp_layer_saliency.models.huggingface.architectures import (
    ARCHITECTURES,
    Layers,
    attentions,
    find_transformer,
    layers_of,
    max_positions,
    reads_last_position,
    takes_token_types,
)
from allennlp_layer_saliency.models.huggingface.classifiers import (
    in_archive,
    load_classifier,
    usable,
)
from allennlp_layer_saliency.models.huggingface.folders import fine_tuned_from, load_tokenizer
from allennlp_layer_saliency.models.huggingface.heads import decoder_from, load_lm_head

__all__ = [
    "ARCHITECTURES",
    "Layers",
    "attentions",
    "decoder_from",
    "find_transformer",
    "fine_tuned_from",
    "in_archive",
    "layers_of",
    "load_classifier",
    "load_lm_head",
    "load_tokenizer",
    "max_positions",
    "reads_last_position",
    "takes_token_types",
    "usable",
]
