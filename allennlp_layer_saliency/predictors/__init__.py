from allennlp_layer_saliency.predictors.saliency import SaliencyPredictor, fields_of

__all__ = ["SaliencyPredictor", "fields_of"]
