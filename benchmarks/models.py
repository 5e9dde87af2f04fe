"""The models and texts that are timed."""

import json
import random
from pathlib import Path
from typing import Any, Dict, List

import torch
from allennlp.common import Params
from allennlp.data import DatasetReader, Vocabulary
from allennlp.models import Model
from allennlp.predictors import Predictor
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

import allennlp_layer_saliency  # noqa: F401  registers everything

HERE = Path(__file__).parent
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
VOCABULARY_SIZE = 50_265


def save_language_model(folder: Path, seed: int = 0, layers: int = 12) -> str:
    """
    A masked language model of RoBERTa-base's size, or of another depth, with random weights; each word is one
    piece.
    """
    words = [str(i) for i in range(VOCABULARY_SIZE - len(SPECIAL))]
    vocabulary = {piece: i for i, piece in enumerate(SPECIAL + words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    torch.manual_seed(seed)
    config = RobertaConfig(
        vocab_size=VOCABULARY_SIZE,
        max_position_embeddings=514,
        num_hidden_layers=layers,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    RobertaForMaskedLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    ).save_pretrained(folder)
    return str(folder)


def classifier(folder: str, device: str = "cpu", seed: int = 0, classes: int = 2) -> Predictor:
    """An AllenNLP classifier, pooled on its first position as RoBERTa's are."""
    transformer = {"type": "pretrained_transformer", "model_name": folder}
    reader = {
        "type": "text_classification_json",
        "tokenizer": {**transformer},
        "token_indexers": {"tokens": {**transformer}},
    }
    model: Dict[str, Any] = {
        "type": "basic_classifier",
        "text_field_embedder": {"token_embedders": {"tokens": {**transformer}}},
        "seq2vec_encoder": {"type": "cls_pooler", "embedding_dim": 768},
        "feedforward": {
            "input_dim": 768,
            "num_layers": 1,
            "hidden_dims": 768,
            "activations": "tanh",
        },
        "namespace": "tags",
    }
    vocabulary = Vocabulary.empty()
    for label in range(classes):
        vocabulary.add_token_to_namespace(f"class {label}", "labels")
    torch.manual_seed(seed)
    built = Model.from_params(Params(model), vocab=vocabulary).eval().to(device)
    return Predictor.by_name("text_classifier")(built, DatasetReader.from_params(Params(reader)))


def texts(lengths: List[int], seed: int = 0) -> List[Dict[str, str]]:
    """Input lines of so many word pieces each, the two special tokens included."""
    generator = random.Random(seed)
    return [
        {"sentence": " ".join(str(generator.randrange(50_000)) for _ in range(length - 2))}
        for length in lengths
    ]


def sst2_lengths(count: int, seed: int = 0) -> List[int]:
    """
    Lengths drawn from those of SST-2's 872 development sentences.

    In word pieces of a vocabulary of 30,522, BERT's, special tokens included.
    """
    counts = json.loads((HERE / "sst2_lengths.json").read_text())
    return random.Random(seed).choices(
        [int(length) for length in counts], weights=list(counts.values()), k=count
    )
