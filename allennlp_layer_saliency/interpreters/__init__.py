from allennlp_layer_saliency.interpreters.base import Explained, LayerInterpreter
from allennlp_layer_saliency.interpreters.baselines import AttentionRollout, RandomSaliency
from allennlp_layer_saliency.interpreters.captum import CaptumSaliency
from allennlp_layer_saliency.interpreters.decoded import DecodedLayerSaliency
from allennlp_layer_saliency.interpreters.greedy import GreedyComprehensiveness, GreedySufficiency
from allennlp_layer_saliency.interpreters.projected import ProjectedGradientSaliency
from allennlp_layer_saliency.interpreters.scores_file import ScoresFile
from allennlp_layer_saliency.interpreters.targets import Target
from allennlp_layer_saliency.interpreters.undecoded import LayerSaliency

__all__ = [
    "AttentionRollout",
    "CaptumSaliency",
    "DecodedLayerSaliency",
    "Explained",
    "GreedyComprehensiveness",
    "GreedySufficiency",
    "LayerInterpreter",
    "LayerSaliency",
    "ProjectedGradientSaliency",
    "RandomSaliency",
    "ScoresFile",
    "Target",
]
