"""The score y_c that is explained, for each kind of model."""

from allennlp_layer_saliency.interpreters.targets.base import Choice, ModelTarget
from allennlp_layer_saliency.interpreters.targets.models import (
    REFUSED,
    MultiLabelTarget,
    OutputTarget,
    tagged_spans,
    target_type,
)
from allennlp_layer_saliency.interpreters.targets.registered import Target, as_target

__all__ = [
    "REFUSED",
    "Choice",
    "ModelTarget",
    "MultiLabelTarget",
    "OutputTarget",
    "Target",
    "as_target",
    "tagged_spans",
    "target_type",
]
