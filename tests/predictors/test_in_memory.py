import re

import pytest
import torch
from allennlp.common.checks import ConfigurationError
from allennlp.models.archival import load_archive
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from allennlp_layer_saliency import explain
from allennlp_layer_saliency.commands.archive import make_archive
from allennlp_layer_saliency.interpreters.lm_heads import TiedEmbeddingsLMHead
from allennlp_layer_saliency.predictors import SaliencyPredictor
from tests.commands.test_archive import LABELS, PAIRS, save_classifier
from tests.conftest import ROOT, SENTENCES, hook_count


@pytest.fixture(params=["bert", "gpt2"])
def folder(request, tmp_path):
    return save_classifier(request.param, tmp_path)


def loaded(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    return model, AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("interpreter", ["decoded-layer-saliency", "layer-saliency", "random"])
def test_the_same_as_of_an_archive(folder, tmp_path, interpreter):
    settings = {} if interpreter == "random" else {"layer": 1}
    if interpreter == "decoded-layer-saliency":
        settings["lm_head"] = {"type": "tied-embeddings"}
    make_archive(folder, str(tmp_path / "model.tar.gz"))
    archived = load_archive(str(tmp_path / "model.tar.gz"))
    config = {"type": interpreter, **settings}
    reader = archived.validation_dataset_reader
    predictor = SaliencyPredictor(archived.model, reader, config)
    inputs = [*((sentence,) for sentence in SENTENCES), *PAIRS]
    wanted = predictor.explain([[reader.text_to_instance(*texts)] for texts in inputs])
    texts = [*SENTENCES, *PAIRS]
    found = explain(*loaded(folder), texts, interpreter=interpreter, **settings)
    for one, other in zip(found, wanted):
        instance = other.explanation["instance_1"]
        assert one["instance_1"]["grad_input_1"] == pytest.approx(instance["grad_input_1"], abs=1e-5)


def test_the_target_is_the_models_own_prediction(folder):
    model, tokenizer = loaded(folder)
    for text, found in zip(SENTENCES, explain(model, tokenizer, SENTENCES, "layer-saliency")):
        with torch.no_grad():
            logits = model(tokenizer(text, return_tensors="pt")["input_ids"]).logits[0]
        target = found["instance_1"]["target"]
        assert target["label"] == LABELS[int(logits.argmax())]
        assert target["score"] == pytest.approx(logits.max().item(), abs=1e-5)


def test_the_model_is_left_as_it_was(folder):
    model, tokenizer = loaded(folder)
    model.train()
    model.base_model.eval()
    next(model.parameters()).requires_grad_(False)

    def state():
        return (
            [module.training for module in model.modules()],
            [(p.requires_grad, p.grad, p.sum().item()) for p in model.parameters()],
            model.config.to_dict(),
            vars(model.config).copy(),
            list(model.state_dict()),
            hook_count(model),
        )

    before = state()
    explain(model, tokenizer, SENTENCES, "layer-saliency")
    assert state() == before
    with pytest.raises(ConfigurationError, match="layr"):
        explain(model, tokenizer, SENTENCES, "layer-saliency", layr=1)
    assert state() == before


def test_what_can_not_be_explained_is_refused(folder):
    model, tokenizer = loaded(folder)
    with pytest.raises(ConfigurationError, match="a sequence or token classifier is wanted; this is a"):
        explain(model.base_model, tokenizer, SENTENCES)
    with pytest.raises(ConfigurationError, match="a text must be a string; this one is int"):
        explain(model, tokenizer, [("good", 7)], "layer-saliency")
    with pytest.raises(ConfigurationError, match="the text is empty"):
        explain(model, tokenizer, ["good", ""], "layer-saliency")


def test_long_texts_are_cut_off_as_the_error_says(tmp_path):
    model, tokenizer = loaded(save_classifier("bert", tmp_path))
    with pytest.raises(ConfigurationError, match="lm_head must be given as in a configuration.* of TiedEmb"):
        explain(model, tokenizer, ["good"], lm_head=TiedEmbeddingsLMHead())
    with pytest.raises(ConfigurationError, match="cut it off: `max_length=80`"):
        explain(model, tokenizer, ["good " * 200], "layer-saliency")
    (found,) = explain(model, tokenizer, ["good " * 200], "layer-saliency", max_length=80)
    assert len(found["instance_1"]["signed_1"]) == 80


def test_the_readmes_example_runs(tmp_path, capsys):
    folder = save_classifier("bert", tmp_path)
    blocks = re.findall("```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (example,) = [block for block in blocks if "import explain" in block]
    exec(example.replace("FOLDER", folder), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] in LABELS.values() for line in lines] == [True, True]
