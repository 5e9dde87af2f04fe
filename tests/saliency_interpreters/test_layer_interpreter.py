import json
import math

import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.data.fields import LabelField
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from allennlp_layer_saliency.saliency_interpreters import layer_interpreter
from tests.conftest import SENTENCES, build_predictor, hook_count, model_config, reader_config

OURS = ("decoded-layer-saliency", "projected-gradient-saliency", "layer-saliency")
LINES = [{"sentence": sentence} for sentence in SENTENCES]


def make(predictor, type="decoded-layer-saliency", **config):
    return SaliencyInterpreter.from_params(Params({"type": type, **config}), predictor=predictor)


@pytest.mark.parametrize("name", OURS)
def test_what_an_explanation_holds(predictor, name):
    out = make(predictor, name, layer=1).saliency_interpret_from_json(LINES[3])
    assert list(out) == ["instance_1"]
    explanation = json.loads(json.dumps(out["instance_1"], allow_nan=False))
    tokens = explanation["tokens_1"]
    assert tokens[0] == "<s>" and tokens[-1] == "</s>"
    for key in ("grad_input_1", "offsets_1", "signed_1", "sources_1", "decoded_1"):
        assert len(explanation[key]) == len(tokens)
    assert sum(explanation["grad_input_1"]) == pytest.approx(1, abs=1e-5)
    assert explanation["layer"] == 1
    assert explanation["target"]["label"] in ("negative", "positive", "mixed")
    assert explanation["target"]["kind"] == "logit"
    text = LINES[3]["sentence"]
    for token, offsets in zip(tokens, explanation["offsets_1"]):
        if offsets is None:
            assert token in ("<s>", "</s>", "Ġ")
        else:
            assert text[slice(*offsets)] == token.replace("Ġ", "")


def test_where_each_score_comes_from(predictor):
    interpreter = make(predictor, layer=2, tau=None, special_tokens="keep", decoded_top_k=4)
    explanation = interpreter.saliency_interpret_from_json(LINES[4])["instance_1"]
    # Three positions, so that the at most five sources are all of them, and add up.
    assert len(explanation["tokens_1"]) == 3
    for signed, sources in zip(explanation["signed_1"], explanation["sources_1"]):
        amounts = [source["amount"] for source in sources]
        assert sum(amounts) == pytest.approx(signed, rel=1e-4, abs=1e-6)
        assert amounts == sorted(amounts, key=abs, reverse=True)
    for position in explanation["decoded_1"]:
        assert len(position) == 4
        probabilities = [item["probability"] for item in position]
        assert probabilities == sorted(probabilities, reverse=True)
    # contribution = s_n P_n[v]: the same weight for all of a position's tokens.
    item, other = explanation["decoded_1"][1][:2]
    assert item["contribution"] / item["probability"] == pytest.approx(
        other["contribution"] / other["probability"], rel=1e-3
    )
    scores = [abs(word["score"]) for word in explanation["vocabulary"]]
    assert len(scores) == 20 and scores == sorted(scores, reverse=True)


def test_nothing_decoded_when_not_asked_for(predictor):
    explanation = make(predictor, decoded_top_k=0).saliency_interpret_from_json(LINES[0])[
        "instance_1"
    ]
    assert explanation["decoded_1"] == [[] for _ in explanation["tokens_1"]]
    undecoded = make(predictor, "layer-saliency", layer=1).saliency_interpret_from_json(LINES[0])
    assert undecoded["instance_1"]["decoded_1"] == explanation["decoded_1"]
    assert undecoded["instance_1"]["vocabulary"] == []
    assert undecoded["instance_1"]["lost"] == 0


@pytest.mark.parametrize("name", OURS)
def test_batched_equals_single_in_any_order(predictor, name, monkeypatch):
    interpreter = make(predictor, name, layer=2)
    singles = [interpreter.saliency_interpret_from_json(line) for line in LINES]
    for pieces in (1, 40, 10**6):
        monkeypatch.setattr(layer_interpreter, "MAX_PIECES", pieces)
        for order in ([0, 1, 2, 3, 4, 5, 6, 7], [7, 3, 1, 0, 2, 6, 5, 4]):
            batch = interpreter.saliency_interpret_batch_json([LINES[i] for i in order])
            for i, result in zip(order, batch):
                got, wanted = result["instance_1"], singles[i]["instance_1"]
                assert got["tokens_1"] == wanted["tokens_1"]
                assert got["signed_1"] == pytest.approx(wanted["signed_1"], abs=1e-6)
                assert got["lost"] == pytest.approx(wanted["lost"], abs=1e-6)


@pytest.mark.parametrize("name", OURS)
def test_twice_the_same_gives_the_same_bytes(predictor, name):
    dumps = [
        json.dumps(make(predictor, name).saliency_interpret_batch_json(LINES)) for _ in range(2)
    ]
    assert dumps[0] == dumps[1]


def test_batches_hold_at_most_so_many_pieces():
    batches = layer_interpreter._batches([3, 10, 2, 5, 30], 12)
    assert batches == [[2, 0], [3], [1], [4]]
    assert layer_interpreter._batches([], 12) == []


@pytest.mark.parametrize("layer, last", [(-1, 3), (-4, 0), (0, 0), (3, 3)])
def test_layers_count_from_either_end(predictor, layer, last):
    out = make(predictor, "layer-saliency", layer=layer).saliency_interpret_from_json(LINES[0])
    assert out["instance_1"]["layer"] == last


def test_several_layers(predictor):
    out = make(predictor, "layer-saliency", layer=[3, 1, -1]).saliency_interpret_from_json(LINES[0])
    instance = out["instance_1"]
    assert [entry["layer"] for entry in instance["layers"]] == [3, 1]
    assert sum(instance["grad_input_1"]) == pytest.approx(1)
    one = make(predictor, "layer-saliency", layer=[2]).saliency_interpret_from_json(LINES[0])
    assert [entry["layer"] for entry in one["instance_1"]["layers"]] == [2]


@pytest.mark.parametrize(
    "config, message",
    [
        ({"layer": 4}, r"layer must be an index from 0 .* to 3 .*; got 4"),
        ({"layer": -5}, "got -5"),
        ({"layer": [0, 9]}, r"got \[0, 9\]"),
        ({"layer": []}, r"got \[\]"),
        ({"layer": "top"}, "got 'top'"),
        ({"layr": 1}, "layr"),
        ({"target": "loss"}, "target must be one of .*; got 'loss'"),
        ({"target_class": "neutral"}, r"no class 'neutral'; .*'negative' \(0\), 'positive' \(1\)"),
        ({"target_class": 3}, "no class 3"),
        ({"contrast_class": "neutral"}, "contrast_class: no class 'neutral'"),
        ({"special_tokens": "drop"}, "special_tokens must be one of .*; got 'drop'"),
        ({"tau": 0}, "tau must be at least 1, or null for the whole vocabulary; got 0"),
        ({"normalise": "rows"}, "normalise must be one of .*; got 'rows'"),
        ({"decoded_top_k": -1}, "decoded_top_k must be 0 or more; got -1"),
        ({"aggregation": {"type": "gradient-norm", "p": 3}}, "p must be 1 or 2; got 3"),
        ({"aggregation": "gradient"}, "gradient"),
        (
            {"transformer": "nowhere"},
            "no Hugging Face model at 'nowhere'; there is one at .*tokens",
        ),
    ],
)
def test_bad_settings(predictor, config, message):
    with pytest.raises(ConfigurationError, match=message):
        make(predictor, **config)


def test_inputs_that_cannot_be_explained(predictor):
    interpreter = make(predictor, "layer-saliency")
    for empty in ("", "   "):
        with pytest.raises(ConfigurationError, match="the text is empty"):
            interpreter.saliency_interpret_from_json({"sentence": empty})
    with pytest.raises(
        ConfigurationError, match="102 word pieces; the model has room for 64.*max_length"
    ):
        interpreter.saliency_interpret_from_json({"sentence": "good " * 99 + "good"})


def test_a_text_of_the_full_length_is_explained(predictor):
    out = make(predictor, "layer-saliency").saliency_interpret_from_json(
        {"sentence": "good " * 61 + "good"}
    )
    assert len(out["instance_1"]["grad_input_1"]) == 64


def test_nan_is_an_error(predictor):
    interpreter = make(predictor, "layer-saliency")
    with torch.no_grad():
        predictor._model._classification_layer.weight[0, 0] = math.nan
    with pytest.raises(ConfigurationError, match="NaN or infinite"):
        interpreter.saliency_interpret_from_json(LINES[0])


def test_all_zero_stays_zero(predictor):
    with torch.no_grad():
        predictor._model._classification_layer.weight.zero_()
    out = make(predictor, layer=1).saliency_interpret_from_json(LINES[0])["instance_1"]
    assert out["grad_input_1"] == [0.0] * len(out["tokens_1"])


def state_of(model):
    hooks = hook_count(model)
    return (
        hooks,
        [p.requires_grad for p in model.parameters()],
        [p.grad for p in model.parameters()],
        [m.training for m in model.modules()],
        torch.get_rng_state().tolist(),
        dict(vars(model._accuracy)),
    )


@pytest.mark.parametrize("name", OURS)
def test_the_model_is_left_as_it_was(predictor, name):
    interpreter = make(predictor, name)
    model = predictor._model
    model._classification_layer.bias.requires_grad_(False)
    model._classification_layer.train()
    instances = [predictor._json_to_instance(line) for line in LINES[:3]]
    for instance in instances:
        instance.add_field("label", LabelField("positive"))
    before = state_of(model)
    interpreter.saliency_interpret_batch_instance(instances)
    assert state_of(model) == before
    assert all("label" in instance.fields for instance in instances)

    def fail(*_):
        raise RuntimeError("in the middle")

    handle = model._classification_layer.register_forward_hook(fail)
    before = state_of(model)
    with pytest.raises(RuntimeError, match="in the middle"):
        interpreter.saliency_interpret_batch_instance(instances)
    assert state_of(model) == before
    handle.remove()


def test_a_frozen_embedder_is_explained(roberta_folder):
    config = model_config(roberta_folder)
    embedder = config["text_field_embedder"]["token_embedders"]["tokens"]
    trained = make(build_predictor(roberta_folder)).saliency_interpret_from_json(LINES[0])
    embedder["train_parameters"] = False
    frozen = make(build_predictor(roberta_folder, model=config)).saliency_interpret_from_json(
        LINES[0]
    )
    assert frozen == trained


def test_a_model_without_a_transformer_is_refused():
    model = {
        "type": "basic_classifier",
        "text_field_embedder": {
            "token_embedders": {
                "tokens": {"type": "embedding", "embedding_dim": 4, "num_embeddings": 5}
            }
        },
        "seq2vec_encoder": {"type": "boe", "embedding_dim": 4},
    }
    reader = {"type": "text_classification_json", "tokenizer": "whitespace"}
    predictor = build_predictor("", reader=reader, model=model)
    with pytest.raises(
        ConfigurationError, match="pretrained_transformer token indexer; it has SingleId"
    ):
        make(predictor, "layer-saliency")


@pytest.fixture
def pair_predictor(bert_folder):
    reader = {
        **reader_config(bert_folder),
        "type": "snli",
        "tokenizer": {
            "type": "pretrained_transformer",
            "model_name": bert_folder,
            "add_special_tokens": False,
        },
    }
    return build_predictor(bert_folder, reader=reader, predictor="textual_entailment")


PAIR = {"premise": "the film is slow", "hypothesis": "the film is bad"}


@pytest.mark.parametrize("name", OURS)
def test_textual_entailment_with_one_field(pair_predictor, name):
    out = make(pair_predictor, name, layer=1).saliency_interpret_from_json(PAIR)["instance_1"]
    words = "[CLS] the film is slow [SEP] the film is bad [SEP]".split()
    assert out["tokens_1"] == words
    assert len(out["grad_input_1"]) == len(words)
    assert out["offsets_1"][4] == [12, 16] and out["offsets_1"][9] == [12, 15]


@pytest.mark.parametrize("special_tokens", ["zero", "exclude"])
def test_the_unknown_token_is_a_word_like_others(bert_folder, special_tokens):
    interpreter = make(
        build_predictor(bert_folder), layer=1, tau=None, special_tokens=special_tokens
    )
    out = interpreter.saliency_interpret_from_json({"sentence": "a zzz film"})["instance_1"]
    assert out["tokens_1"] == ["[CLS]", "a", "[UNK]", "film", "[SEP]"]
    assert [score != 0 for score in out["signed_1"]] == [False, True, True, True, False]
    assert out["offsets_1"][2] == [2, 5]


def test_two_text_fields_are_refused(bert_folder):
    reader = {
        **reader_config(bert_folder),
        "type": "snli",
        "combine_input_fields": False,
        "tokenizer": {
            "type": "pretrained_transformer",
            "model_name": bert_folder,
            "add_special_tokens": False,
        },
    }
    predictor = build_predictor(bert_folder, reader=reader, predictor="textual_entailment")
    with pytest.raises(
        ConfigurationError, match="one text field; this one has premise, hypothesis"
    ):
        make(predictor, "layer-saliency").saliency_interpret_from_json(PAIR)
