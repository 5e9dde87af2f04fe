"""What `allennlp saliency layers` found out about the layers of a model."""

import json
import logging
import os
from typing import Any, Dict, NamedTuple, Sequence

from allennlp.common.checks import ConfigurationError

logger = logging.getLogger(__name__)

# Below this share of the best layer's reciprocal rank a layer's decoding is not to be trusted.
POOR = 0.5


class LayersFile(NamedTuple):
    """
    # Parameters

    chosen : `int`
        The layer that "auto" stands for.
    layers : `Dict[int, Dict[str, Any]]`
        Each layer's measures.
    """

    chosen: int
    layers: Dict[int, Dict[str, Any]]

    @classmethod
    def read(cls, path: str, last_layer: int) -> "LayersFile":
        """
        From layers.json or the folder that holds it, for a model whose last layer has this index.

        # Raises

        `ConfigurationError`
            If it is not such a file, or belongs to another model.
        """
        if os.path.isdir(path):
            path = os.path.join(path, "layers.json")
        if not os.path.isfile(path):
            raise ConfigurationError(f"coherence: no file {path}; make it with `allennlp saliency layers`")
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            layers = {
                entry["layer"]: {k: v for k, v in entry.items() if k not in ("layer", "intervals")}
                for entry in content["layers"]
            }
            chosen = content["chosen"]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"coherence: {path} is not what `allennlp saliency layers` writes"
            ) from error
        if sorted(layers) != list(range(last_layer + 1)):
            raise ConfigurationError(
                f"coherence: {path} is of a model with {len(layers)} layers, embeddings included; this one "
                f"has {last_layer + 1}"
            )
        return cls(chosen, layers)

    def warn_of_poor(self, layers: Sequence[int]) -> None:
        """Log a warning for each of the layers that hardly decodes to what stands there."""
        best = max(entry["reciprocal_rank"] for entry in self.layers.values())
        for layer in layers:
            rank = self.layers[layer]["reciprocal_rank"]
            if rank < POOR * best:
                logger.warning(
                    "layer %d decodes poorly: its pieces' mean reciprocal rank is %.2f, the best layer's "
                    "%.2f",
                    layer,
                    rank,
                    best,
                )
