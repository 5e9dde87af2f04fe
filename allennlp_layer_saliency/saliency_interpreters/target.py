from dataclasses import dataclass
from typing import Any, Dict, Optional, Union

import torch
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.allennlp_access import class_logits

KINDS = ("logit", "log-probability")


@dataclass(frozen=True)
class Target:
    """
    The score y_c that is explained: a class's logit or log-probability, or the difference of two.

    # Parameters

    kind : `str`
        "logit" or "log-probability".
    target_class : `int`, optional
        None: the predicted class.
    contrast_class : `int`, optional
        The class whose score is subtracted.
    labels : `Dict[int, str]`
        Class index -> label.
    """

    kind: str
    target_class: Optional[int]
    contrast_class: Optional[int]
    labels: Dict[int, str]

    @classmethod
    def of(
        cls,
        kind: str,
        target_class: Optional[Union[str, int]],
        contrast_class: Optional[Union[str, int]],
        labels: Dict[int, str],
    ) -> "Target":
        """
        Check what the user named.

        # Raises

        `ConfigurationError`
            On an unknown kind or class.
        """
        if kind not in KINDS:
            raise ConfigurationError(f"target must be one of {KINDS}; got {kind!r}")
        return cls(
            kind=kind,
            target_class=_class_index("target_class", target_class, labels),
            contrast_class=_class_index("contrast_class", contrast_class, labels),
            labels=labels,
        )

    def classes(self, outputs: Dict[str, Any]) -> torch.Tensor:
        """Each instance's explained class. Shape: (batch,)."""
        logits = class_logits(outputs)
        if self.target_class is None:
            return logits.detach().argmax(-1)
        return torch.full_like(logits[:, 0], self.target_class, dtype=torch.long)

    def score(self, outputs: Dict[str, Any]) -> torch.Tensor:
        """y_c. Shape: (batch,)."""
        logits = class_logits(outputs).float()
        values = torch.log_softmax(logits, dim=-1) if self.kind == "log-probability" else logits
        scores = values.gather(1, self.classes(outputs).unsqueeze(1)).squeeze(1)
        if self.contrast_class is not None:
            scores = scores - values[:, self.contrast_class]
        return scores

    def describe(self, explained_class: int, score: float) -> Dict[str, Any]:
        """The `target` entry of an explanation."""
        described = {
            "label": self.labels.get(explained_class, str(explained_class)),
            "kind": self.kind,
            "score": score,
        }
        if self.contrast_class is not None:
            described["contrast"] = self.labels[self.contrast_class]
        return described


def _class_index(
    argument: str, name: Optional[Union[str, int]], labels: Dict[int, str]
) -> Optional[int]:
    if name is None:
        return None
    for index, label in labels.items():
        if name == label or (name == index and not isinstance(name, bool)):
            return index
    known = ", ".join(f"{label!r} ({index})" for index, label in sorted(labels.items()))
    raise ConfigurationError(f"{argument}: no class {name!r}; the model's are {known}")
