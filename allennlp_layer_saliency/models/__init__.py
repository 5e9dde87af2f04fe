from allennlp_layer_saliency.models.huggingface_classifier import HuggingFaceClassifier

__all__ = ["HuggingFaceClassifier"]
