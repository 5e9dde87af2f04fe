from allennlp_layer_saliency.dataset_readers.huggingface_classifier import (
    HuggingFaceClassifierReader,
)

__all__ = ["HuggingFaceClassifierReader"]
