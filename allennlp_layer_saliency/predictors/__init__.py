from allennlp_layer_saliency.predictors.saliency import SaliencyPredictor

__all__ = ["SaliencyPredictor"]
