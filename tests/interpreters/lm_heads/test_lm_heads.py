import shutil
from pathlib import Path

import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.data import Vocabulary
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.models import Model
from allennlp.models.archival import archive_model
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertTokenizerFast,
    ElectraConfig,
    ElectraForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaModel,
)

from allennlp_layer_saliency.interpreters.lm_heads import LMHead
from allennlp_layer_saliency.models.huggingface import find_transformer
from tests.conftest import (
    ROOT,
    build_predictor,
    byte_level_tokenizer,
    save_bert,
    save_roberta,
    weights_file,
)


def load(config, predictor):
    tokenizer = predictor._dataset_reader._tokenizer.tokenizer
    return LMHead.from_params(Params(config)).load(find_transformer(predictor._model), tokenizer)


def hidden_states():
    return torch.randn(5, 16, generator=torch.Generator().manual_seed(2))


def test_pretrained_defaults_to_the_model_the_classifier_was_built_from(predictor, roberta_folder):
    lm = AutoModelForMaskedLM.from_pretrained(roberta_folder)
    wanted = lm.lm_head(hidden_states())
    for config in ({}, {"model_name": roberta_folder}, {"type": "pretrained"}):
        decoder = load(config, predictor)
        assert torch.allclose(decoder.logits(hidden_states()), wanted, atol=1e-5)
        assert not torch.allclose(
            decoder.output_embeddings,
            find_transformer(predictor._model).get_input_embeddings().weight,
            atol=1e-3,
        )


def test_the_head_stays_out_of_the_classifiers_module_tree(predictor):
    names = [name for name, _ in predictor._model.named_modules()]
    load({}, predictor)
    assert [name for name, _ in predictor._model.named_modules()] == names


def test_tied_embeddings(predictor):
    embeddings = find_transformer(predictor._model).get_input_embeddings().weight
    decoder = load({"type": "tied-embeddings"}, predictor)
    assert torch.allclose(decoder.logits(hidden_states()), hidden_states() @ embeddings.t())


def test_another_vocabulary_is_refused(predictor, bert_folder, tmp_path):
    with pytest.raises(ConfigurationError, match="another vocabulary than the classifier.*pieces differ"):
        load({"model_name": bert_folder}, predictor)
    # As many pieces, two of them swapped.
    folder = save_roberta(tmp_path)
    # Later versions write no vocab.json beside it.
    for name in ("vocab.json", "tokenizer.json"):
        if not (tmp_path / name).exists():
            continue
        text = (tmp_path / name).read_text(encoding="utf-8")
        text = text.replace('"Ġgood"', '"Ġxxx"').replace('"Ġbad"', '"Ġgood"').replace('"Ġxxx"', '"Ġbad"')
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="2 of its 3.. pieces differ"):
        load({"model_name": folder}, predictor)


def test_added_tokens_are_allowed(roberta_folder, tmp_path):
    folder = tmp_path / "more"
    shutil.copytree(roberta_folder, folder)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer.add_tokens(["[ENTITY]"])
    tokenizer.save_pretrained(str(folder))
    predictor = build_predictor(str(folder))
    decoder = load({"model_name": roberta_folder}, predictor)
    assert decoder.vocabulary_size == len(tokenizer) - 1


def test_another_hidden_size_is_refused(predictor, tmp_path):
    folder = save_roberta(tmp_path, hidden_size=8)
    with pytest.raises(ConfigurationError, match="hidden states of size 8; the classifier's have size 16"):
        load({"model_name": folder}, predictor)


def test_weights_that_did_not_load_are_refused(predictor, roberta_folder, tmp_path):
    folder = tmp_path / "headless"
    shutil.copytree(roberta_folder, folder)
    RobertaModel.from_pretrained(roberta_folder).save_pretrained(str(folder))
    with pytest.raises(ConfigurationError, match="lm_head: .*holds no weights for its LM head"):
        load({"model_name": str(folder)}, predictor)


def test_a_language_model_without_its_tokenizer_is_refused(predictor, roberta_folder, tmp_path):
    folder = tmp_path / "no-tokenizer"
    folder.mkdir()
    for path in (Path(roberta_folder) / "config.json", weights_file(roberta_folder)):
        shutil.copy(path, folder)
    with pytest.raises(ConfigurationError, match="no tokenizer at"):
        load({"model_name": str(folder)}, predictor)


def test_misspelt_keys_are_refused():
    with pytest.raises(ConfigurationError, match="model_nam"):
        LMHead.from_params(Params({"model_nam": "roberta-base"}))
    with pytest.raises(ConfigurationError, match="pretrainedd"):
        LMHead.from_params(Params({"type": "pretrainedd"}))


def lm_archive(kind, head, model_name, folder):
    """An archive of one of AllenNLP's language models."""
    indexer = {"type": "pretrained_transformer", "model_name": model_name}
    config = {
        "dataset_reader": {
            "type": ("masked_language_modeling" if kind == "masked_language_model" else "next_token_lm"),
            "tokenizer": indexer,
            "token_indexers": {"tokens": indexer},
        },
        "model": {
            "type": kind,
            "text_field_embedder": {"token_embedders": {"tokens": indexer}},
            "language_model_head": {"type": head, "model_name": model_name},
        },
    }
    folder.mkdir()
    Params(config).to_file(str(folder / "config.json"))
    model = Model.from_params(Params(config["model"]), vocab=Vocabulary.empty())
    model.vocab.save_to_files(str(folder / "vocabulary"))
    torch.save(model.state_dict(), folder / "best.th")
    archive_model(folder)
    return str(folder / "model.tar.gz")


def test_from_archive_of_a_masked_language_model(bert_folder, tmp_path):
    archive = lm_archive("masked_language_model", "bert", bert_folder, tmp_path / "archive")
    lm = AutoModelForMaskedLM.from_pretrained(bert_folder)
    decoder = load({"type": "from-archive", "archive_file": archive}, build_predictor(bert_folder))
    assert torch.allclose(decoder.logits(hidden_states()), lm.cls(hidden_states()), atol=1e-5)
    assert torch.equal(decoder.output_embeddings, lm.get_output_embeddings().weight)
    assert decoder.hidden_size == 16


def test_from_archive_of_a_causal_language_model(tmp_path):
    tokenizer = byte_level_tokenizer()
    config = GPT2Config(vocab_size=len(tokenizer), n_layer=2, n_embd=16, n_head=2, n_positions=64)
    lm = GPT2LMHeadModel(config)
    lm.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    folder = str(tmp_path / "gpt2")
    archive = lm_archive("next_token_lm", "gpt2", folder, tmp_path / "archive")
    decoder = load({"type": "from-archive", "archive_file": archive}, build_predictor(folder))
    assert torch.allclose(decoder.logits(hidden_states()), lm.lm_head(hidden_states()), atol=1e-5)
    assert torch.equal(decoder.output_embeddings, lm.lm_head.weight)


def test_from_archive_refuses_what_does_not_fit(bert_folder, predictor, tmp_path, monkeypatch):
    archive = lm_archive("masked_language_model", "bert", bert_folder, tmp_path / "archive")
    with pytest.raises(ConfigurationError, match="another vocabulary than the classifier"):
        load({"type": "from-archive", "archive_file": archive}, predictor)
    classifier = str(ROOT / "fixtures" / "sst2-classifier.tar.gz")
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigurationError, match="holds a BasicClassifier, not a masked_language_model"):
        load({"type": "from-archive", "archive_file": classifier}, predictor)
    with pytest.raises(ConfigurationError, match="no archive at"):
        load({"type": "from-archive", "archive_file": str(tmp_path / "no.tar.gz")}, predictor)


def test_projected_gradient_refuses_a_head_of_another_embedding_size(tmp_path):
    folder = save_bert(tmp_path)
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    config = ElectraConfig(
        vocab_size=len(tokenizer),
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
    )
    ElectraForMaskedLM(config).save_pretrained(folder)
    predictor = build_predictor(folder)
    with pytest.raises(ConfigurationError, match="hidden states' size 16; this one has some of size 8"):
        SaliencyInterpreter.from_params(Params({"type": "projected-gradient-saliency"}), predictor=predictor)
    # Decoding itself works, and tied embeddings are refused for their size.
    SaliencyInterpreter.from_params(Params({"type": "decoded-layer-saliency"}), predictor=predictor)
    with pytest.raises(ConfigurationError, match="tied-embeddings takes hidden states of size 8"):
        load({"type": "tied-embeddings"}, predictor)
