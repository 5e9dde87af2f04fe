"""Everything that differs between Hugging Face architectures."""

from allennlp_layer_saliency.models.huggingface.architectures import (
    ARCHITECTURES,
    Layers,
    find_transformer,
    layers_of,
    max_positions,
    takes_token_types,
    without_cache,
)
from allennlp_layer_saliency.models.huggingface.attentions import attentions
from allennlp_layer_saliency.models.huggingface.classifiers import (
    MULTI_LABEL,
    REGRESSION,
    SINGLE_LABEL,
    in_archive,
    is_tagger,
    load_classifier,
    padding_matters,
    plain,
    problem_type,
    usable,
)
from allennlp_layer_saliency.models.huggingface.folders import fine_tuned_from, load_tokenizer
from allennlp_layer_saliency.models.huggingface.heads import decoder_from, load_encoder, load_lm_head
from allennlp_layer_saliency.models.huggingface.loading import is_own_hook, recorders_last

__all__ = [
    "ARCHITECTURES",
    "MULTI_LABEL",
    "REGRESSION",
    "SINGLE_LABEL",
    "Layers",
    "attentions",
    "decoder_from",
    "find_transformer",
    "fine_tuned_from",
    "in_archive",
    "is_tagger",
    "is_own_hook",
    "layers_of",
    "load_classifier",
    "load_encoder",
    "load_lm_head",
    "load_tokenizer",
    "max_positions",
    "padding_matters",
    "plain",
    "problem_type",
    "recorders_last",
    "takes_token_types",
    "usable",
    "without_cache",
]
