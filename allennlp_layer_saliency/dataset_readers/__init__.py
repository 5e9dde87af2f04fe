from allennlp_layer_saliency.dataset_readers.huggingface_classifier import (
    HuggingFaceClassifierReader,
)
from allennlp_layer_saliency.dataset_readers.labelled_texts import AgNewsReader, Sst2Reader

__all__ = ["AgNewsReader", "HuggingFaceClassifierReader", "Sst2Reader"]
