import shutil

import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.data import DatasetReader, Vocabulary
from allennlp.models import Model
from allennlp.models.archival import archive_model
from transformers import AutoModelForMaskedLM, AutoTokenizer, RobertaModel

from allennlp_layer_saliency.hf_models import find_transformer
from allennlp_layer_saliency.lm_heads import LMHead
from tests.conftest import build_predictor, save_bert, save_roberta


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
    for name in ("vocab.json", "tokenizer.json"):
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
    for name in ("config.json", "pytorch_model.bin"):
        shutil.copy(f"{roberta_folder}/{name}", folder)
    with pytest.raises(ConfigurationError, match="no tokenizer at"):
        load({"model_name": str(folder)}, predictor)


def test_misspelt_keys_are_refused():
    with pytest.raises(ConfigurationError, match="model_nam"):
        LMHead.from_params(Params({"model_nam": "roberta-base"}))
    with pytest.raises(ConfigurationError, match="pretrainedd"):
        LMHead.from_params(Params({"type": "pretrainedd"}))


@pytest.fixture(scope="module")
def lm_archive(bert_folder, tmp_path_factory):
    """An archive of AllenNLP's masked_language_model over the tiny BERT."""
    indexer = {"type": "pretrained_transformer", "model_name": bert_folder}
    config = {
        "dataset_reader": {
            "type": "masked_language_modeling",
            "tokenizer": {"type": "pretrained_transformer", "model_name": bert_folder},
            "token_indexers": {"bert": indexer},
        },
        "model": {
            "type": "masked_language_model",
            "text_field_embedder": {"token_embedders": {"bert": indexer}},
            "language_model_head": {"type": "bert", "model_name": bert_folder},
        },
    }
    folder = tmp_path_factory.mktemp("archive")
    Params(config).to_file(str(folder / "config.json"))
    model = Model.from_params(Params(config["model"]), vocab=Vocabulary.empty())
    DatasetReader.from_params(Params(config["dataset_reader"]))
    model.vocab.save_to_files(str(folder / "vocabulary"))
    torch.save(model.state_dict(), folder / "best.th")
    archive_model(folder)
    return str(folder / "model.tar.gz")


def test_from_archive(lm_archive, bert_folder):
    predictor = build_predictor(bert_folder)
    lm = AutoModelForMaskedLM.from_pretrained(bert_folder)
    decoder = load({"type": "from-archive", "archive_file": lm_archive}, predictor)
    assert torch.allclose(decoder.logits(hidden_states()), lm.cls(hidden_states()), atol=1e-5)
    assert torch.equal(decoder.output_embeddings, lm.get_output_embeddings().weight)
    assert decoder.hidden_size == 16


def test_from_archive_refuses_what_does_not_fit(lm_archive, predictor, tmp_path):
    with pytest.raises(ConfigurationError, match="another vocabulary than the classifier"):
        load({"type": "from-archive", "archive_file": lm_archive}, predictor)
    with pytest.raises(ConfigurationError, match="no archive at"):
        load({"type": "from-archive", "archive_file": str(tmp_path / "no.tar.gz")}, predictor)


def test_projected_gradient_refuses_a_head_of_another_embedding_size(tmp_path):
    from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
    from transformers import BertTokenizerFast, ElectraConfig, ElectraForMaskedLM

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
        SaliencyInterpreter.from_params(
            Params({"type": "projected-gradient-saliency"}), predictor=predictor
        )
    # Decoding itself works, and tied embeddings are refused for their size.
    SaliencyInterpreter.from_params(Params({"type": "decoded-layer-saliency"}), predictor=predictor)
    with pytest.raises(ConfigurationError, match="tied-embeddings takes hidden states of size 8"):
        load({"type": "tied-embeddings"}, predictor)
