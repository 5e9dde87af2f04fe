from allennlp_layer_saliency.commands.saliency import SaliencyCommand

__all__ = ["SaliencyCommand"]
