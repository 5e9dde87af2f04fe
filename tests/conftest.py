"""Tiny seeded models, built here; nothing is downloaded."""

import copy
import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

from pathlib import Path
from typing import Any, Callable, Dict, List, Union

import allennlp_models.pair_classification  # noqa: F401
import pytest
import torch
import transformers
from allennlp.common import (
    Params,
    cached_transformers,
)
from allennlp.data import DatasetReader, Vocabulary
from allennlp.models import Model
from allennlp.predictors import Predictor
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizerFast,
)

import allennlp_layer_saliency  # noqa: F401
from allennlp_layer_saliency.models.huggingface.loading import is_own_hook

# Standard error is compared.
transformers.utils.logging.disable_progress_bar()

ROOT = Path(__file__).parent.parent
SENTENCES = [
    "a charming and often affecting journey",
    "the film is bad , really bad , so very bad",
    "unflinchingly bleak and desperate",
    "it 's slow -- very , very slow , and yet a good film",
    "good",
    "the actors are good but the film is slow",
    "a bleak journey with bad actors and no charm",
    "so good that it hurts",
]
HIDDEN_SIZE = 16


def reseed_weights(model: torch.nn.Module, seed: int) -> None:
    """
    Weights large enough that layers, classes and gradients differ clearly.

    The blocks leave enough of the embeddings, and the head's transform is near enough to the identity,
    that positions decode to words of the input.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            if "LayerNorm" in name or "layer_norm" in name or "ln_" in name:
                offset = 1.0 if name.endswith("weight") else 0.0
                parameter.copy_(offset + 0.1 * torch.randn(parameter.shape, generator=generator))
            elif "word_embeddings" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            else:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
                if name in ("lm_head.dense.weight", "cls.predictions.transform.dense.weight"):
                    parameter += torch.eye(len(parameter))


def hook_count(model: torch.nn.Module) -> int:
    """Hooks that no library keeps there for itself."""
    return sum(
        not is_own_hook(hook)
        for m in model.modules()
        for hooks in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)
        for hook in hooks.values()
    )


def byte_level_tokenizer(vocab_size: int = 320) -> RobertaTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return RobertaTokenizerFast(tokenizer_object=tokenizer, add_prefix_space=True)


def save_roberta(
    folder: Path, seed: int = 0, hidden_size: int = HIDDEN_SIZE, positions: int = 66, blocks: int = 3
) -> str:
    """A RoBERTa masked language model and its tokenizer."""
    tokenizer = byte_level_tokenizer()
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=blocks,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    model = RobertaForMaskedLM(config)
    reseed_weights(model, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_bert(folder: Path, seed: int = 0) -> str:
    """A BERT masked language model with two blocks, and a word-piece tokenizer."""
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, "1", "2", "##s"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"))
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=HIDDEN_SIZE,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    model = BertForMaskedLM(config)
    reseed_weights(model, seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def weights_file(folder: Union[str, Path]) -> Path:
    """Where `save_pretrained` put a model's weights."""
    (path,) = (p for p in Path(folder).iterdir() if p.suffix in (".bin", ".safetensors"))
    return path


def pytest_report_header() -> str:
    from tests.compatibility import running

    return "tested with: " + ", ".join(" ".join(item) for item in running().items())


@pytest.fixture(autouse=True)
def no_cached_transformers():
    """AllenNLP caches transformers by path, and temporary paths come again."""
    yield
    cached_transformers._clear_caches()


@pytest.fixture(scope="session")
def roberta_folder(tmp_path_factory) -> str:
    return save_roberta(tmp_path_factory.mktemp("roberta"))


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory) -> str:
    return save_bert(tmp_path_factory.mktemp("bert"))


def reader_config(model_name: str) -> Dict[str, Any]:
    return {
        "type": "text_classification_json",
        "tokenizer": {"type": "pretrained_transformer", "model_name": model_name},
        "token_indexers": {"tokens": {"type": "pretrained_transformer", "model_name": model_name}},
    }


def model_config(model_name: str, hidden_size: int = HIDDEN_SIZE) -> Dict[str, Any]:
    return {
        "type": "basic_classifier",
        "namespace": "tags",
        "text_field_embedder": {
            "token_embedders": {"tokens": {"type": "pretrained_transformer", "model_name": model_name}}
        },
        "seq2vec_encoder": {"type": "cls_pooler", "embedding_dim": hidden_size},
    }


def build_predictor(
    model_name: str,
    reader: Dict[str, Any] = None,
    model: Dict[str, Any] = None,
    predictor: str = "text_classifier",
    labels: List[str] = ("negative", "positive", "mixed"),
    seed: int = 1,
    predictor_arguments: Dict[str, Any] = None,
) -> Predictor:
    """A predictor over a fine-tuned classifier: every weight differs from the language model's."""
    vocabulary = Vocabulary.empty()
    for label in labels:
        vocabulary.add_token_to_namespace(label, "labels")
    # Params takes out what it has read, and the two may share parts.
    reader = copy.deepcopy(reader or reader_config(model_name))
    model = copy.deepcopy(model or model_config(model_name))
    dataset_reader = DatasetReader.from_params(Params(reader))
    classifier = Model.from_params(Params(model), vocab=vocabulary)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in classifier.named_parameters():
            if "pooler" in name or "_classification_layer" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
            else:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    classifier.eval()
    return Predictor.by_name(predictor)(classifier, dataset_reader, **(predictor_arguments or {}))


@pytest.fixture
def predictor(roberta_folder) -> Predictor:
    return build_predictor(roberta_folder)


@pytest.fixture
def build() -> Callable[..., Predictor]:
    return build_predictor
