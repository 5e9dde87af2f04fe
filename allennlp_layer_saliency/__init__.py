"""Decoded layer saliency for AllenNLP classifiers built on Hugging Face transformers.

AllenNLP's plugin loader imports this module only, so it imports everything that registers itself.
"""

import allennlp_compatibility
from allennlp_layer_saliency.requirements import check_requirements

# In a Python that reads no .pth files.
allennlp_compatibility.install()
check_requirements()

from allennlp_layer_saliency import (  # noqa: E402
    commands,
    dataset_readers,
    interpreters,
    models,
    predictors,
)
from allennlp_layer_saliency.interpreters import (  # noqa: E402
    DecodedLayerSaliency,
    LayerSaliency,
    ProjectedGradientSaliency,
    Target,
)
from allennlp_layer_saliency.predictors.in_memory import explain  # noqa: E402
from allennlp_layer_saliency.version import VERSION  # noqa: E402

__version__ = VERSION

__all__ = [
    "DecodedLayerSaliency",
    "LayerSaliency",
    "ProjectedGradientSaliency",
    "Target",
    "__version__",
    "commands",
    "dataset_readers",
    "explain",
    "interpreters",
    "models",
    "predictors",
]
