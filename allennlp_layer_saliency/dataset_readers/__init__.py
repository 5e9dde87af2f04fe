from allennlp_layer_saliency.dataset_readers.huggingface_classifier import (
    HuggingFaceClassifierReader,
)
from allennlp_layer_saliency.dataset_readers.labelled_texts import AgNewsReader, Sst2Reader
from allennlp_layer_saliency.dataset_readers.planted_shortcut import PlantedShortcutReader

__all__ = ["AgNewsReader", "HuggingFaceClassifierReader", "PlantedShortcutReader", "Sst2Reader"]
