"""Decoded layer saliency for AllenNLP classifiers built on Hugging Face transformers.

AllenNLP's plugin loader imports this module only, so it imports everything that registers itself.
"""

from allennlp_layer_saliency.requirements import check_requirements

check_requirements()

from allennlp_layer_saliency import (  # noqa: E402
    commands,
    dataset_readers,
    interpreters,
    models,
    predictors,
)
from allennlp_layer_saliency.version import VERSION  # noqa: E402

__version__ = VERSION

__all__ = [
    "__version__",
    "commands",
    "dataset_readers",
    "interpreters",
    "models",
    "predictors",
]
