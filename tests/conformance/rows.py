"""
What is supported, one row each: a tiny model with random weights, its predictor and inputs.

`test_conformance.py` runs every row through the same list of invariants; `document.py` writes
docs/models.md from it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import allennlp_models.coref
import allennlp_models.rc
import allennlp_models.tagging  # noqa: F401
import spacy
import torch
import transformers
from allennlp.data import TextFieldTensors, Vocabulary
from allennlp.models import Model
from allennlp.modules import TextFieldEmbedder
from allennlp.predictors import Predictor
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from allennlp_layer_saliency.commands.archive import make_archive
from tests.conftest import (
    HIDDEN_SIZE,
    SENTENCES,
    build_predictor,
    byte_level_tokenizer,
    model_config,
    reader_config,
    reseed_weights,
    save_bert,
    save_roberta,
)
from tests.models.test_huggingface import OTHERS, TINY

Inputs = List[Dict[str, Any]]
Built = Tuple[Predictor, Inputs]

LINES: Inputs = [{"sentence": sentence} for sentence in SENTENCES]
PAIRS: Inputs = [
    {"premise": "the film is slow", "hypothesis": "the film is very bad , really bad"},
    {"premise": "a charming and often affecting journey", "hypothesis": "good"},
    {"premise": "it is so good that it hurts", "hypothesis": "the actors are good"},
]


@dataclass(frozen=True)
class Row:
    """
    One supported set-up.

    # Parameters

    group, name, note : `str`
        As docs/models.md has them.
    build : `Callable[[Path], Tuple[Predictor, List[Dict]]]`
        From an empty folder to a predictor and inputs of different lengths.
    settings : `Dict[str, Any]`
        What the interpreters need to be told beyond their defaults.
    tokens : `str`
        "pieces" where tokens are the transformer's own positions; "words"; "folded" where the
        transformer sees more positions than there are tokens.
    projectable : `bool`
        Whether the LM head's output embeddings have the hidden states' size, as
        projected-gradient-saliency needs.
    needs : `str`, optional
        A class that earlier versions of transformers lack.
    tolerance : `float`
        Of a score, relative to the largest, between a text explained alone and in a batch.
    """

    group: str
    name: str
    note: str
    build: Callable[[Path], Built]
    settings: Dict[str, Any] = field(default_factory=dict)
    tokens: str = "pieces"
    projectable: bool = True
    needs: Optional[str] = None
    tolerance: float = 1e-4


def language_model(model_type: str, folder: Path) -> str:
    """A language model of this type, with a byte-level tokenizer."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_tokenizer().backend_tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    config, class_name = {**TINY, **{k: (v[0], None) for k, v in OTHERS.items()}}[model_type]
    config = type(config).from_dict(
        {
            **config.to_dict(),
            "vocab_size": len(tokenizer),
            **({} if model_type == "xlnet" else {"max_position_embeddings": 80}),
            "n_positions": 80,
        }
    )
    torch.manual_seed(0)
    model = (
        getattr(transformers, class_name)(config)
        if class_name
        else (
            transformers.AutoModelForCausalLM.from_config(config)
            if model_type == "gpt_neo"
            else transformers.AutoModelForMaskedLM.from_config(config)
        )
    )
    reseed_weights(model, 3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def architecture(model_type: str) -> Callable[[Path], Built]:
    def build(folder: Path) -> Built:
        path = language_model(model_type, folder)
        model = model_config(path)
        if model_type in ("bart", "mbart"):
            _embedder(model)["sub_module"] = "encoder"
        if model_type in ("gpt2", "gpt_neo"):
            model["seq2vec_encoder"]["cls_is_last_token"] = True
        return build_predictor(path, model=model), LINES

    return build


def _embedder(model: Dict[str, Any]) -> Dict[str, Any]:
    return model["text_field_embedder"]["token_embedders"]["tokens"]


def embedder(pooler: str = "cls_pooler", indexer: Dict[str, Any] = None, **settings: Any):
    """A RoBERTa classifier whose embedder (and indexer) has these settings."""

    def build(folder: Path) -> Built:
        path = save_roberta(folder)
        reader, model = reader_config(path), model_config(path)
        reader["token_indexers"]["tokens"].update(indexer or {})
        _embedder(model).update(settings)
        if pooler == "boe":
            model["seq2vec_encoder"] = {
                "type": "boe",
                "embedding_dim": HIDDEN_SIZE,
                "averaged": True,
            }
        return build_predictor(path, reader=reader, model=model), LINES

    return build


def _mismatched(path: str, **settings: Any) -> Dict[str, Any]:
    return {"type": "pretrained_transformer_mismatched", "model_name": path, **settings}


def words(**settings: Any) -> Callable[[Path], Built]:
    """A classifier that reads words."""

    def build(folder: Path) -> Built:
        path = save_roberta(folder)
        reader = {
            "type": "text_classification_json",
            "tokenizer": "whitespace",
            "token_indexers": {"tokens": _mismatched(path, **settings)},
        }
        model = model_config(path)
        model["text_field_embedder"]["token_embedders"]["tokens"] = _mismatched(path, **settings)
        model["seq2vec_encoder"] = {"type": "boe", "embedding_dim": HIDDEN_SIZE, "averaged": True}
        return build_predictor(path, reader=reader, model=model), LINES

    return build


@Model.register("two-transformers")
class TwoTransformers(Model):
    """
    A classifier over the mean of what two transformers make of each word.

    AllenNLP's own models look for the one mask among their inputs, and refuse two.
    """

    def __init__(self, vocab: Vocabulary, text_field_embedder: TextFieldEmbedder) -> None:
        super().__init__(vocab)
        self._text_field_embedder = text_field_embedder
        size = text_field_embedder.get_output_dim()
        self._classification_layer = torch.nn.Linear(size, vocab.get_vocab_size("labels"))

    def forward(self, tokens: TextFieldTensors) -> Dict[str, torch.Tensor]:  # type: ignore
        mask = tokens["bert"]["mask"].unsqueeze(-1)
        mean = (self._text_field_embedder(tokens) * mask).sum(1) / mask.sum(1)
        return {"logits": self._classification_layer(mean)}


def two_transformers(folder: Path) -> Built:
    bert, roberta = save_bert(folder / "bert"), save_roberta(folder / "roberta")
    both = {"bert": _mismatched(bert), "roberta": _mismatched(roberta)}
    reader = {
        "type": "text_classification_json",
        "tokenizer": "whitespace",
        "token_indexers": both,
    }
    model = {"type": "two-transformers", "text_field_embedder": {"token_embedders": both}}
    return build_predictor(bert, reader=reader, model=model), LINES


def beside_word_vectors(folder: Path) -> Built:
    path = save_roberta(folder)
    reader = {
        "type": "text_classification_json",
        "tokenizer": "whitespace",
        "token_indexers": {"words": "single_id", "pieces": _mismatched(path)},
    }
    model = model_config(path)
    model["text_field_embedder"]["token_embedders"] = {
        "words": {"type": "embedding", "embedding_dim": 4, "num_embeddings": 2},
        "pieces": _mismatched(path),
    }
    model["seq2vec_encoder"] = {"type": "boe", "embedding_dim": HIDDEN_SIZE + 4, "averaged": True}
    return build_predictor(path, reader=reader, model=model), LINES


def checkpointing(folder: Path) -> Built:
    predictor, lines = embedder(gradient_checkpointing=True)(folder)
    embedders = predictor._model._text_field_embedder
    embedders.token_embedder_tokens.transformer_model.gradient_checkpointing_enable()
    predictor._model.train()
    return predictor, lines


def added_tokens(folder: Path) -> Built:
    path = save_roberta(folder)
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.add_tokens(["charming", "bad"])
    tokenizer.save_pretrained(path)
    plain = save_roberta(folder / "plain")
    predictor = build_predictor(path)
    predictor._model._text_field_embedder.token_embedder_tokens.config._name_or_path = plain
    return predictor, LINES


def bfloat16(folder: Path) -> Built:
    predictor, lines = embedder()(folder)
    predictor._model.to(torch.bfloat16)
    return predictor, lines


def recurrent(folder: Path) -> Built:
    path = save_roberta(folder)
    model = model_config(path)
    model["seq2vec_encoder"] = {"type": "lstm", "input_size": HIDDEN_SIZE, "hidden_size": 6}
    return build_predictor(path, model=model), LINES


def plain_classifier(
    class_name: str, model_type: str, words: bool = False, **config: Any
) -> Callable[[Path], Built]:
    """A Hugging Face classifier, archived."""
    config = {"num_labels": 3, "id2label": {0: "bad", 1: "good", 2: "mixed"}, **config}

    def build(folder: Path) -> Built:
        lm = language_model(model_type, folder / "lm")
        path = str(folder / "classifier")
        torch.manual_seed(1)
        classifier = getattr(transformers, class_name).from_pretrained(lm, **config)
        reseed_weights(classifier, 7)
        classifier.save_pretrained(path)
        AutoTokenizer.from_pretrained(lm).save_pretrained(path)
        (folder / "classifier" / "README.md").write_text(f"---\nbase_model: {lm}\n---\n")
        make_archive(path, str(folder / "model.tar.gz"), words=words)
        return Predictor.from_path(str(folder / "model.tar.gz")), LINES

    return build


def one_field(folder: Path) -> Built:
    path = save_bert(folder)
    reader = {
        **reader_config(path),
        "type": "snli",
        "tokenizer": {
            "type": "pretrained_transformer",
            "model_name": path,
            "add_special_tokens": False,
        },
    }
    return build_predictor(path, reader=reader, predictor="textual_entailment"), PAIRS


def _layer(size: int, out: int, activation: str = "tanh") -> Dict[str, Any]:
    return {"input_dim": size, "num_layers": 1, "hidden_dims": out, "activations": activation}


def two_fields(as_words: bool) -> Callable[[Path], Built]:
    def build(folder: Path) -> Built:
        path = save_bert(folder)
        tokenizer = {
            "type": "pretrained_transformer",
            "model_name": path,
            "add_special_tokens": False,
        }
        matched = {"type": "pretrained_transformer", "model_name": path}
        indexer = _mismatched(path) if as_words else matched
        reader = {
            "type": "snli",
            "combine_input_fields": False,
            "tokenizer": "whitespace" if as_words else tokenizer,
            "token_indexers": {"tokens": indexer},
        }

        model = {
            "type": "decomposable_attention",
            "text_field_embedder": {"token_embedders": {"tokens": indexer}},
            "attend_feedforward": _layer(HIDDEN_SIZE, 8),
            "matrix_attention": {"type": "dot_product"},
            "compare_feedforward": _layer(2 * HIDDEN_SIZE, 8),
            "aggregate_feedforward": _layer(16, 3, "linear"),
        }
        return (
            build_predictor(path, reader=reader, model=model, predictor="textual_entailment"),
            PAIRS,
        )

    return build


def tagger(tags: List[str], seed: int, **settings: Any) -> Callable[[Path], Built]:
    def build(folder: Path) -> Built:
        spacy.blank("en").to_disk(folder / "spacy")
        path = save_roberta(folder / "lm")
        reader = {
            "type": "conll2003",
            "tag_label": "ner",
            "token_indexers": {"tokens": _mismatched(path)},
        }
        train_parameters = settings.pop("train_parameters", True)
        embedders = {"tokens": _mismatched(path, train_parameters=train_parameters)}
        model = {
            "text_field_embedder": {"token_embedders": embedders},
            "encoder": {"type": "pass_through", "input_dim": HIDDEN_SIZE},
            **settings,
        }
        predictor = build_predictor(
            path,
            reader=reader,
            model=model,
            predictor="sentence_tagger",
            labels=tags,
            seed=seed,
            predictor_arguments={"language": str(folder / "spacy")},
        )
        return predictor, LINES

    return build


def question_answering(folder: Path) -> Built:
    path = save_bert(folder)
    reader = {
        "type": "transformer_squad",
        "transformer_model_name": path,
        "length_limit": 20,
        "stride": 4,
    }
    model = {"type": "transformer_qa", "transformer_model_name": path}
    lines = [
        {"question": "is the film good", "context": SENTENCES[5]},
        # Read in several windows.
        {"question": "the journey is", "context": " , ".join(SENTENCES[:6])},
        {"question": "very bad", "context": "good"},
    ]
    return build_predictor(path, reader=reader, model=model, predictor="transformer_qa"), lines


def coreference(folder: Path) -> Built:
    language = spacy.blank("en")
    language.add_pipe("sentencizer")
    language.to_disk(folder / "spacy")
    path = save_bert(folder)
    reader = {"type": "coref", "max_span_width": 3, "token_indexers": {"tokens": _mismatched(path)}}
    # A span is its ends, the words in it, and its width.
    features = 4
    span = 3 * HIDDEN_SIZE + features
    model = {
        "type": "coref",
        "text_field_embedder": {"token_embedders": {"tokens": _mismatched(path)}},
        "context_layer": {"type": "pass_through", "input_dim": HIDDEN_SIZE},
        "mention_feedforward": _layer(span, 8),
        "antecedent_feedforward": _layer(3 * span + features, 8),
        "feature_size": features,
        "max_span_width": 3,
        "spans_per_word": 0.5,
        # Fewer than there are spans, so that the scores decide which.
        "max_antecedents": 2,
        "coarse_to_fine": True,
        "inference_order": 2,
    }
    lines = [
        {"document": "the film is slow . it is a bad film , and it is so bad that the actors hurt ."},
        {"document": "the actors are good . it is good ."},
        {"document": "the journey is charming . it is slow and the film is bad , so it hurts ."},
    ]
    predictor = build_predictor(
        path,
        reader=reader,
        model=model,
        predictor="coreference_resolution",
        predictor_arguments={"language": str(folder / "spacy")},
    )
    return predictor, lines


def masked_words(folder: Path) -> Built:
    path = save_bert(folder)
    config = reader_config(path)
    reader = {**config, "type": "masked_language_modeling"}
    model = {
        "type": "masked_language_model",
        "text_field_embedder": model_config(path)["text_field_embedder"],
        "language_model_head": {"type": "bert", "model_name": path},
        "target_namespace": "tags",
    }
    lines = [
        {"sentence": "the film is [MASK] bad"},
        {"sentence": "a [MASK] and often [MASK] journey"},
        {"sentence": "so [MASK]"},
    ]
    return (
        build_predictor(path, reader=reader, model=model, predictor="masked_language_model"),
        lines,
    )


def next_word(folder: Path) -> Built:
    path = language_model("gpt2", folder)
    config = reader_config(path)
    reader = {**config, "type": "next_token_lm"}
    model = {
        "type": "next_token_lm",
        "text_field_embedder": model_config(path)["text_field_embedder"],
        "language_model_head": {"type": "gpt2", "model_name": path},
        "target_namespace": "tags",
    }
    return build_predictor(path, reader=reader, model=model, predictor="next_token_lm"), LINES


BIOUL = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC") for prefix in "BILU")]
NAMES = {
    "albert": ("ALBERT", "one module called N times"),
    "bart": ("BART's encoder", '`sub_module: "encoder"`'),
    "bert": ("BERT", ""),
    "camembert": ("CamemBERT", ""),
    "deberta": (
        "DeBERTa",
        "published checkpoints keep their head under names that transformers 4.20 does not load: it is "
        "refused, use `tied-embeddings`",
    ),
    "deberta-v2": (
        "DeBERTa v2, v3",
        "transformers 5 reads the head of v2 as it is published; v3 has none that was trained with it",
    ),
    "distilbert": ("DistilBERT", ""),
    "electra": (
        "ELECTRA",
        "the generator's head; a discriminator has none, and most generators' has another hidden size: "
        "it is refused, use `tied-embeddings`",
    ),
    "gpt2": ("GPT-2", "inner layers pass through its final norm before the head"),
    "mpnet": ("MPNet", ""),
    "roberta": ("RoBERTa", ""),
    "xlm-roberta": ("XLM-RoBERTa", ""),
    "xlnet": ("XLNet", "time-major states"),
}

ROWS: List[Row] = [
    *(
        Row(
            "Architectures",
            *NAMES[name],
            architecture(name),
            projectable=name not in ("albert", "electra"),
        )
        for name in sorted(TINY)
    ),
    Row("Architectures", "others: Megatron-BERT", "recognised", architecture("megatron-bert")),
    Row("Architectures", "others: GPT-Neo", "recognised", architecture("gpt_neo")),
    Row(
        "Architectures",
        "others: Data2VecText",
        "recognised",
        architecture("data2vec-text"),
    ),
    Row(
        "Architectures",
        "others: ModernBERT",
        "recognised; with transformers 5",
        architecture("modernbert"),
        needs="ModernBertConfig",
    ),
    Row(
        "Architectures",
        "others: EuroBERT",
        "recognised; with transformers 5",
        architecture("eurobert"),
        needs="EuroBertConfig",
    ),
    Row(
        "Embedders",
        "long texts, folded",
        "`max_length`",
        embedder("boe", {"max_length": 8}, max_length=8),
        tokens="folded",
    ),
    Row(
        "Embedders",
        "scalar mix of all layers",
        "`last_layer_only: false`",
        embedder(last_layer_only=False),
    ),
    Row("Embedders", "frozen", "`train_parameters: false`", embedder(train_parameters=False)),
    Row("Embedders", "gradient checkpointing", "also of a model in training mode", checkpointing),
    Row("Embedders", "tokens added to the tokenizer", "the head may lack them", added_tokens),
    Row("Embedders", "recurrent encoder on top", "", recurrent),
    Row("Embedders", "words", "`pretrained_transformer_mismatched`", words(), tokens="words"),
    Row("Embedders", "words, folded", "", words(max_length=8), tokens="words"),
    Row("Embedders", "beside word vectors", "", beside_word_vectors, tokens="words"),
    Row(
        "Embedders",
        "two transformers",
        "`transformer` names one",
        two_transformers,
        settings={
            "transformer": "_text_field_embedder.token_embedder_roberta._matched_embedder.transformer_model"
        },
        tokens="words",
    ),
    Row(
        "Embedders",
        "bfloat16",
        "gradients in bfloat16, all else in float32",
        bfloat16,
        tolerance=0.1,
    ),
    Row(
        "Predictors",
        "`text_classifier`: `huggingface-classifier`",
        "a plain Hugging Face classifier",
        plain_classifier("RobertaForSequenceClassification", "roberta"),
    ),
    Row(
        "Predictors",
        "the same, encoder-decoder",
        "the encoder's layers, of BART for example",
        plain_classifier("BartForSequenceClassification", "bart"),
    ),
    Row(
        "Predictors",
        "the same, pooled on the last position",
        "of GPT-2 or XLNet for example",
        plain_classifier("XLNetForSequenceClassification", "xlnet"),
    ),
    Row(
        "Predictors",
        "the same, any number of labels",
        "an instance for each predicted label",
        plain_classifier(
            "RobertaForSequenceClassification", "roberta", problem_type="multi_label_classification"
        ),
    ),
    Row(
        "Predictors",
        "the same, regression",
        "an instance for each output; a cross-encoder's score for example",
        plain_classifier(
            "RobertaForSequenceClassification",
            "roberta",
            problem_type="regression",
            num_labels=1,
            id2label={0: "score"},
        ),
    ),
    Row(
        "Predictors",
        "the same, words",
        "`allennlp saliency archive --words`",
        plain_classifier("RobertaForSequenceClassification", "roberta", words=True),
        tokens="words",
    ),
    Row(
        "Predictors",
        "`text_classifier`: `huggingface-tagger`",
        "a plain Hugging Face token classifier: each predicted span",
        plain_classifier(
            "RobertaForTokenClassification",
            "roberta",
            id2label={0: "O", 1: "B-PER", 2: "I-PER"},
        ),
        tokens="words",
    ),
    Row("Predictors", "`textual_entailment`, one field", "", one_field),
    Row(
        "Predictors",
        "`textual_entailment`, two fields",
        "premise 1, hypothesis 2",
        two_fields(False),
    ),
    Row("Predictors", "the same, words", "", two_fields(True), tokens="words"),
    Row(
        "Predictors",
        "`sentence_tagger`: `crf_tagger`",
        "each predicted span; BIO, BIOUL, BMES, IOB1 and IO tags",
        tagger(BIOUL, 3, type="crf_tagger", label_encoding="BIOUL"),
        tokens="words",
    ),
    Row(
        "Predictors",
        "`sentence_tagger`: `simple_tagger`",
        "IO tags, frozen embedder",
        tagger(["O", "I-PER", "I-LOC"], 5, type="simple_tagger", train_parameters=False),
        tokens="words",
    ),
    Row(
        "Predictors",
        "`transformer_qa`",
        "`instance_1` start, `instance_2` end of the best window's answer",
        question_answering,
    ),
    Row(
        "Predictors",
        "`coreference_resolution`: `coref`",
        "each link of a mention to its antecedent",
        coreference,
        tokens="words",
    ),
    Row("Predictors", "`masked_language_model`", "an instance for each mask", masked_words),
    Row("Predictors", "`next_token_lm`", "", next_word),
]
