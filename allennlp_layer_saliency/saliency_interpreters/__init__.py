from allennlp_layer_saliency.saliency_interpreters.baselines import (
    AttentionRollout,
    RandomSaliency,
)
from allennlp_layer_saliency.saliency_interpreters.captum import CaptumSaliency
from allennlp_layer_saliency.saliency_interpreters.decoded_layer import DecodedLayerSaliency
from allennlp_layer_saliency.saliency_interpreters.layer import LayerSaliency
from allennlp_layer_saliency.saliency_interpreters.layer_interpreter import (
    Explained,
    LayerInterpreter,
    Prepared,
)
from allennlp_layer_saliency.saliency_interpreters.projected_gradient import (
    ProjectedGradientSaliency,
)
from allennlp_layer_saliency.saliency_interpreters.target import class_labels

__all__ = [
    "AttentionRollout",
    "CaptumSaliency",
    "DecodedLayerSaliency",
    "Explained",
    "LayerInterpreter",
    "LayerSaliency",
    "Prepared",
    "ProjectedGradientSaliency",
    "RandomSaliency",
    "class_labels",
]
