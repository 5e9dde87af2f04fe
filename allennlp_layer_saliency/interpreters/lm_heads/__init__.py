from allennlp_layer_saliency.interpreters.lm_heads.from_archive import ArchivedLMHead
from allennlp_layer_saliency.interpreters.lm_heads.lm_head import LMHead
from allennlp_layer_saliency.interpreters.lm_heads.pretrained import PretrainedLMHead
from allennlp_layer_saliency.interpreters.lm_heads.tied_embeddings import TiedEmbeddingsLMHead
from allennlp_layer_saliency.interpreters.lm_heads.tuned import TunedLMHead

__all__ = ["ArchivedLMHead", "LMHead", "PretrainedLMHead", "TiedEmbeddingsLMHead", "TunedLMHead"]
