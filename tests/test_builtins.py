"""
Cases in which AllenNLP's own interpreters (2.10.1) go wrong, and what ours do with them.

docs/builtins.md tells of them; what is said there of the built-ins is asserted here.
"""

import math

import pytest
import torch
from allennlp.common import Params
from allennlp.data import Instance, Vocabulary
from allennlp.data.fields import TextField
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.models import Model
from allennlp.modules import TextFieldEmbedder
from allennlp.nn.util import find_embedding_layer

from allennlp_layer_saliency.predictors import SaliencyPredictor
from tests.conformance import rows
from tests.conftest import SENTENCES, build_predictor, hook_count, model_config

BUILTINS = ("simple-gradient", "integrated-gradient", "smooth-gradient")
LINE = {"sentence": SENTENCES[0]}


def explain(predictor, name, line=LINE, **settings):
    interpreter = SaliencyInterpreter.from_params(Params({"type": name, **settings}), predictor=predictor)
    return interpreter.saliency_interpret_from_json(line)["instance_1"]


def ours(predictor, line=LINE, **settings):
    return explain(predictor, "layer-saliency", line, **settings)


def embeddings_and_gradients(predictor):
    """Word embeddings of LINE's pieces and the loss' gradient with respect to them."""
    model = predictor._model
    (instance,) = predictor.json_to_labeled_instances(LINE)
    instance.index_fields(model.vocab)
    kept = {}

    def keep(module, inputs, output):
        kept["embeddings"] = output
        output.retain_grad()

    handle = find_embedding_layer(model).register_forward_hook(keep)
    tensors = instance.as_tensor_dict()
    tensors = {
        "tokens": {"tokens": {k: v.unsqueeze(0) for k, v in tensors["tokens"]["tokens"].items()}},
        "label": tensors["label"].unsqueeze(0),
    }
    model(**tensors)["loss"].backward()
    handle.remove()
    model.zero_grad()
    return kept["embeddings"][0].detach(), kept["embeddings"].grad[0]


def normalised(values):
    return (values.abs() / values.abs().sum()).tolist()


def test_each_gradient_meets_its_own_embedding(predictor):
    embeddings, gradients = embeddings_and_gradients(predictor)
    builtin = explain(predictor, "simple-gradient")["grad_input_1"]
    assert builtin == pytest.approx(normalised(gradients @ embeddings[0]), rel=1e-3)
    right = normalised((gradients * embeddings).sum(-1))
    assert builtin != pytest.approx(right, rel=0.1)
    # Ours, at the layer that is embedding output plus nothing else: the word embeddings themselves.
    model = predictor._model
    transformer = model._text_field_embedder.token_embedder_tokens.transformer_model
    with torch.no_grad():
        for part in (
            transformer.embeddings.position_embeddings,
            transformer.embeddings.token_type_embeddings,
        ):
            part.weight.zero_()
    transformer.embeddings.LayerNorm = torch.nn.Identity()
    embeddings, gradients = embeddings_and_gradients(predictor)
    right = normalised((gradients * embeddings).sum(-1))
    # The gradient of a logit is not that of the loss, but with the log-probability it is.
    settings = {"aggregation": "gradient-x-input", "target": "log-probability"}
    got = ours(predictor, layer=0, **settings)["grad_input_1"]
    assert got == pytest.approx(right, rel=1e-3, abs=1e-6)


def test_smooth_gradient_is_not_rounding_noise(predictor):
    """It sums the gradient over the hidden units, and a layer norm right behind makes that sum 0."""
    _, gradients = embeddings_and_gradients(predictor)
    assert gradients.sum(-1).abs().max() < 1e-5 * gradients.abs().sum(-1).max()
    scores = ours(predictor, layer=0, aggregation="gradient-norm")["signed_1"]
    assert scores == pytest.approx(scores) and min(scores) > 0


@pytest.mark.parametrize("architecture", ["distilbert", "electra", "deberta", "xlnet"])
@pytest.mark.parametrize("name", BUILTINS)
def test_architectures_whose_embeddings_are_not_known(architecture, name, tmp_path):
    predictor, lines = rows.architecture(architecture)(tmp_path)
    builtin = explain(predictor, name, lines[0])["grad_input_1"]
    assert builtin == [1.0] + [0.0] * (len(builtin) - 1)
    scores = ours(predictor, lines[0], layer=0)["grad_input_1"]
    assert sum(score > 0.001 for score in scores) > len(scores) / 2


def test_no_parameter_gradient_is_left(predictor):
    ours(predictor)
    assert all(p.grad is None for p in predictor._model.parameters())
    explain(predictor, "simple-gradient")
    assert any(p.grad is not None for p in predictor._model.parameters())


def test_the_same_input_gives_the_same_scores(predictor):
    assert explain(predictor, "smooth-gradient") != explain(predictor, "smooth-gradient")
    assert ours(predictor) == ours(predictor)


def test_an_exception_leaves_nothing_behind(predictor):
    def fail(*_):
        raise RuntimeError("in the middle")

    handle = predictor._model._classification_layer.register_forward_hook(fail)
    before = hook_count(predictor._model)
    with pytest.raises(RuntimeError):
        ours(predictor)
    assert hook_count(predictor._model) == before
    (instance,) = [predictor._json_to_instance(LINE)]
    predictor._dataset_reader.apply_token_indexers(instance)
    with pytest.raises(RuntimeError):
        predictor.get_gradients([instance])
    assert hook_count(predictor._model) > before
    handle.remove()


def test_an_exception_leaves_the_flags_as_they_were(predictor):
    for parameter in predictor._model._text_field_embedder.parameters():
        parameter.requires_grad_(False)
    flags = [parameter.requires_grad for parameter in predictor._model.parameters()]

    def fail(*_):
        raise RuntimeError("in the middle")

    predictor._model._classification_layer.register_forward_hook(fail)
    with pytest.raises(RuntimeError):
        ours(predictor)
    assert [parameter.requires_grad for parameter in predictor._model.parameters()] == flags
    with pytest.raises(RuntimeError):
        predictor.get_gradients([predictor._json_to_instance(LINE)])
    assert all(parameter.requires_grad for parameter in predictor._model.parameters())


@pytest.mark.parametrize("name", BUILTINS)
def test_a_model_without_a_text_field_embedder(name, tmp_path):
    predictor, lines = rows.plain_classifier("RobertaForSequenceClassification", "roberta")(tmp_path)
    # First, since the built-ins leave their hooks behind when they fail.
    assert any(ours(predictor, lines[0])["grad_input_1"])
    with pytest.raises(ValueError, match="TextFieldEmbedder"):
        explain(predictor, name, lines[0])


@pytest.mark.parametrize("name", BUILTINS)
@pytest.mark.parametrize(
    "kind",
    [
        ("BertForSequenceClassification", "bert"),
        ("DistilBertForSequenceClassification", "distilbert"),
    ],
)
def test_our_predictor_tells_them_where_its_word_embeddings_are(kind, name, tmp_path):
    plain, lines = rows.plain_classifier(*kind)(tmp_path)
    predictor = SaliencyPredictor(plain._model, plain._dataset_reader, name)
    words = plain._model.classifier.get_input_embeddings()
    assert predictor.inner.get_interpretable_layer() is words
    (output,) = predictor.outputs(lines[:1])
    assert any(output["saliency"]["instance_1"]["grad_input_1"])


def test_explaining_is_no_evaluation(predictor):
    ours(predictor)
    assert predictor._model.get_metrics() == {"accuracy": 0.0}
    assert predictor._model._accuracy.total_count == 0
    explain(predictor, "simple-gradient")
    assert predictor._model._accuracy.total_count == 1


def test_the_premise_is_the_first_text(tmp_path):
    predictor, lines = rows.two_fields(False)(tmp_path)
    premise, hypothesis = (len(lines[0][name].split()) + 2 for name in ("premise", "hypothesis"))
    builtin = explain(predictor, "simple-gradient", lines[0])
    assert [len(builtin[f"grad_input_{n}"]) for n in (1, 2)] == [hypothesis, premise]
    scores = ours(predictor, lines[0])
    assert [len(scores[f"grad_input_{n}"]) for n in (1, 2)] == [premise, hypothesis]
    # Through our predictor the built-in's scores stand beside the tokens they are of.
    through = SaliencyPredictor(
        predictor._model, predictor._dataset_reader, "simple-gradient", "textual_entailment"
    )
    out = through.predict_json(lines[0])["saliency"]["instance_1"]
    assert out["tokens_1"] == ["[CLS]", *lines[0]["hypothesis"].split(), "[SEP]"]
    assert out["tokens_2"] == ["[CLS]", *lines[0]["premise"].split(), "[SEP]"]


def test_two_texts_of_words(tmp_path):
    predictor, lines = rows.two_fields(True)(tmp_path)
    for name in ("simple-gradient", "integrated-gradient"):
        with pytest.raises(ValueError, match="broadcast"):
            explain(predictor, name, lines[0])
    assert len(ours(predictor, lines[0])["grad_input_2"]) == len(lines[0]["hypothesis"].split())


class Many(Model):
    """Reads eleven texts."""

    def __init__(self, vocab: Vocabulary, embedder: TextFieldEmbedder) -> None:
        super().__init__(vocab)
        self.embedder = embedder
        self.out = torch.nn.Linear(16, 2)

    def forward(self, **texts):
        return {"logits": self.out(sum(self.embedder(text)[:, 0] for text in texts.values()))}


def test_more_than_nine_texts(predictor):
    """The built-ins take the last digit of `grad_input_10` for its number."""
    torch.manual_seed(0)
    vocabulary = Vocabulary.empty()
    for label in ("a", "b"):
        vocabulary.add_token_to_namespace(label, "labels")
    model = Many(vocabulary, predictor._model._text_field_embedder).eval()
    reader = predictor._dataset_reader
    reader.apply_token_indexers = lambda instance: None
    texts = [" ".join(["good"] * n) for n in range(1, 12)]
    fields = {
        f"text_{i}": TextField(reader._tokenizer.tokenize(text), reader._token_indexers)
        for i, text in enumerate(texts)
    }
    many = type(predictor)(model, reader)
    interpreter = SaliencyInterpreter.from_params(Params({"type": "layer-saliency"}), predictor=many)
    (out,) = interpreter.saliency_interpret_batch_instance([Instance(fields)])
    lengths = [len(out["instance_1"][f"grad_input_{n}"]) for n in range(1, 12)]
    assert lengths == [n + 2 for n in range(1, 12)]


@pytest.mark.parametrize("name", BUILTINS)
def test_a_score_of_zero_is_no_nan(predictor, name):
    with torch.no_grad():
        predictor._model._classification_layer.weight.zero_()
    assert all(map(math.isnan, explain(predictor, name)["grad_input_1"]))
    assert set(ours(predictor)["grad_input_1"]) == {0.0}


@pytest.mark.parametrize("name", BUILTINS)
def test_long_texts(name, tmp_path, roberta_folder):
    line = {"sentence": " ".join(SENTENCES[1:4])}
    folded, _ = rows.embedder("boe", {"max_length": 8}, max_length=8)(tmp_path)
    scores = ours(folded, line)
    assert len(explain(folded, name, line)["grad_input_1"]) != len(scores["tokens_1"])
    assert len(scores["grad_input_1"]) == len(scores["tokens_1"])


@pytest.mark.parametrize("name", BUILTINS)
def test_bfloat16(name, tmp_path):
    predictor, lines = rows.bfloat16(tmp_path)
    with pytest.raises(TypeError, match="BFloat16"):
        explain(predictor, name, lines[0])
    assert any(ours(predictor, lines[0])["grad_input_1"])


@pytest.mark.parametrize("tags", [["O", "I-PER", "I-LOC"], ["O", "B-PER", "I-PER"]])
def test_tags_other_than_bioul(tags, tmp_path):
    predictor, lines = rows.tagger(tags, 5, type="simple_tagger")(tmp_path)
    index = predictor._model.vocab.get_token_index(tags[1], "labels")
    with torch.no_grad():  # so that every word is tagged with it
        predictor._model.tag_projection_layer._module.bias[index] = 99.0
    interpreter = SaliencyInterpreter.from_params(Params({"type": "simple-gradient"}), predictor=predictor)
    if "B-PER" in tags:
        with pytest.raises(IndexError):
            interpreter.saliency_interpret_from_json(lines[0])
    else:
        assert interpreter.saliency_interpret_from_json(lines[0]) == {}
    assert any(ours(predictor, lines[0])["grad_input_1"])


def test_the_embedding_layer_may_be_frozen(roberta_folder):
    config = model_config(roberta_folder)
    config["text_field_embedder"]["token_embedders"]["tokens"]["train_parameters"] = False
    assert ours(build_predictor(roberta_folder, model=config)) == ours(build_predictor(roberta_folder))
