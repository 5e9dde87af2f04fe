from allennlp_layer_saliency.models.huggingface_classifier import HuggingFaceClassifier, HuggingFaceTagger

__all__ = ["HuggingFaceClassifier", "HuggingFaceTagger"]
