from allennlp_layer_saliency.interpreters.base import Explained, LayerInterpreter, Prepared
from allennlp_layer_saliency.interpreters.baselines import AttentionRollout, RandomSaliency
from allennlp_layer_saliency.interpreters.captum import CaptumSaliency
from allennlp_layer_saliency.interpreters.decoded import DecodedLayerSaliency
from allennlp_layer_saliency.interpreters.projected import ProjectedGradientSaliency
from allennlp_layer_saliency.interpreters.targets import Target, class_labels
from allennlp_layer_saliency.interpreters.undecoded import LayerSaliency

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
    "Target",
    "class_labels",
]
