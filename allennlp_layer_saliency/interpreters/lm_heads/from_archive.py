import torch
from allennlp.common.checks import ConfigurationError
from allennlp.models.archival import Archive
from allennlp_models.lm.models import NextTokenLM
from allennlp_models.lm.modules.language_model_heads import LanguageModelHead
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.interpreters.lm_heads.lm_head import (
    LMHead,
    check_hidden_size,
    check_vocabulary,
)
from allennlp_layer_saliency.models.allennlp import (
    language_model_head,
    open_archive,
    tokenizer_of,
    transformer_indexer,
)


@LMHead.register("from-archive")
class ArchivedLMHead(LMHead):
    """
    The head of an AllenNLP `masked_language_model` or `next_token_lm`.

    Registered as an `LMHead` with name "from-archive".

    # Parameters

    archive_file : `str`
        The language model's archive.
    """

    def __init__(self, archive_file: str) -> None:
        self.archive_file = archive_file

    def load(self, transformer: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Decoder:
        archive = self._archive()
        head = language_model_head(archive.model)
        if head is None:
            raise ConfigurationError(
                f"lm_head: {self.archive_file} holds a {type(archive.model).__name__}, not a "
                "masked_language_model or next_token_lm"
            )
        _, indexer = transformer_indexer(archive.validation_dataset_reader)
        check_vocabulary(self.archive_file, tokenizer_of(indexer).get_vocab(), tokenizer)
        decoder = _decoder(head, causal=isinstance(archive.model, NextTokenLM))
        check_hidden_size(self.archive_file, decoder, transformer)
        return decoder

    def _archive(self) -> Archive:
        try:
            return open_archive(self.archive_file)
        except FileNotFoundError as error:
            raise ConfigurationError(f"lm_head: no archive at {self.archive_file}") from error


def _decoder(head: LanguageModelHead, causal: bool) -> Decoder:
    head.eval()
    for parameter in head.parameters():
        parameter.requires_grad_(False)
    vocabulary_size = head.get_output_dim()
    projections = [
        module.weight
        for module in head.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == vocabulary_size
    ]

    def logits(hidden_states: torch.Tensor) -> torch.Tensor:
        dtype = next(head.parameters()).dtype
        with torch.set_grad_enabled(hidden_states.requires_grad):
            return head.to(device=hidden_states.device)(hidden_states.to(dtype))

    return Decoder(
        logits=logits,
        vocabulary_size=vocabulary_size,
        hidden_size=head.get_input_dim(),
        output_embeddings=projections[-1].detach() if projections else None,
        causal=causal,
    )
