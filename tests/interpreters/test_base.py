import json
import math

import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.data import Instance, Token
from allennlp.data.fields import LabelField, TextField
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from transformers import AutoTokenizer

from allennlp_layer_saliency.interpreters import base
from tests.conformance import rows
from tests.conftest import (
    SENTENCES,
    build_predictor,
    hook_count,
    model_config,
    reader_config,
    save_roberta,
)

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
            assert token in ("<s>", "</s>")
        else:
            # A space before a word is none of it; one alone is a piece of its own.
            assert text[slice(*offsets)] == (token.replace("Ġ", "") or " ")


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
    explanation = make(predictor, decoded_top_k=0).saliency_interpret_from_json(LINES[0])["instance_1"]
    assert explanation["decoded_1"] == [[] for _ in explanation["tokens_1"]]
    undecoded = make(predictor, "layer-saliency", layer=1).saliency_interpret_from_json(LINES[0])
    assert undecoded["instance_1"]["decoded_1"] == explanation["decoded_1"]
    assert undecoded["instance_1"]["vocabulary"] == []
    assert undecoded["instance_1"]["lost"] == 0


@pytest.mark.parametrize("name", OURS)
def test_batched_equals_single_in_any_order(predictor, name):
    interpreter = make(predictor, name, layer=2)
    singles = [interpreter.saliency_interpret_from_json(line) for line in LINES]
    for pieces in (1, 40, 10**6):
        interpreter.texts.budget.pieces = pieces
        for order in ([0, 1, 2, 3, 4, 5, 6, 7], [7, 3, 1, 0, 2, 6, 5, 4]):
            batch = interpreter.saliency_interpret_batch_json([LINES[i] for i in order])
            for i, result in zip(order, batch):
                got, wanted = result["instance_1"], singles[i]["instance_1"]
                assert got["tokens_1"] == wanted["tokens_1"]
                assert got["signed_1"] == pytest.approx(wanted["signed_1"], abs=1e-6)
                assert got["lost"] == pytest.approx(wanted["lost"], abs=1e-6)


def test_results_are_read_after_the_last_layer(predictor, monkeypatch):
    """So that a GPU does not wait between layers for what they gave to be copied."""
    interpreter = make(predictor, layer="all")
    steps = []
    for owner, name in ((interpreter, "_explain_layer"), (base, "layer_to_json")):

        own = getattr(owner, name)

        def step(*args, own=own, name=name):
            steps.append(name)
            return own(*args)

        monkeypatch.setattr(owner, name, step)
    interpreter.saliency_interpret_from_json(LINES[0])
    assert steps == ["_explain_layer"] * 4 + ["layer_to_json"] * 4


@pytest.mark.parametrize("name", OURS)
def test_twice_the_same_gives_the_same_bytes(predictor, name):
    dumps = [json.dumps(make(predictor, name).saliency_interpret_batch_json(LINES)) for _ in range(2)]
    assert dumps[0] == dumps[1]


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
    with pytest.raises(ConfigurationError, match="102 word pieces; the model has room for 64.*max_length"):
        interpreter.saliency_interpret_from_json({"sentence": "good " * 99 + "good"})


def test_a_text_of_the_full_length_is_explained(predictor):
    out = make(predictor, "layer-saliency").saliency_interpret_from_json({"sentence": "good " * 61 + "good"})
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
    frozen = make(build_predictor(roberta_folder, model=config)).saliency_interpret_from_json(LINES[0])
    assert frozen == trained


def test_a_model_without_a_transformer_is_refused():
    model = {
        "type": "basic_classifier",
        "text_field_embedder": {
            "token_embedders": {"tokens": {"type": "embedding", "embedding_dim": 4, "num_embeddings": 5}}
        },
        "seq2vec_encoder": {"type": "boe", "embedding_dim": 4},
    }
    reader = {"type": "text_classification_json", "tokenizer": "whitespace"}
    predictor = build_predictor("", reader=reader, model=model)
    with pytest.raises(ConfigurationError, match="contains no Hugging Face transformer.*embedder"):
        make(predictor, "layer-saliency")


def test_an_indexer_that_makes_no_word_pieces_is_refused(roberta_folder):
    reader = {"type": "text_classification_json", "tokenizer": "whitespace"}
    predictor = build_predictor(roberta_folder, reader=reader)
    with pytest.raises(
        ConfigurationError,
        match=r"pretrained_transformer_mismatched token indexer named tokens; it has tokens \(SingleId",
    ):
        make(predictor, "layer-saliency")


def test_an_input_without_text_is_refused(predictor):
    with pytest.raises(ConfigurationError, match="no text to explain: the instance has no text field"):
        make(predictor).saliency_interpret_batch_instance([Instance({"label": LabelField("positive")})])


PAIR = {"premise": "the film is slow", "hypothesis": "the film is bad"}


def test_two_texts_are_explained_as_one_input(tmp_path):
    """The premise's positions may hand their saliency to the hypothesis' pieces, and the reverse."""
    predictor, _ = rows.two_fields(False)(tmp_path)
    settings = {"layer": 1, "tau": None, "special_tokens": "keep"}
    out = make(predictor, **settings).saliency_interpret_from_json(PAIR)["instance_1"]
    assert out["tokens_1"] == "[CLS] the film is slow [SEP]".split()
    assert out["tokens_2"] == "[CLS] the film is bad [SEP]".split()
    # What both texts have is shared between them.
    assert out["signed_1"][1:4] == pytest.approx(out["signed_2"][1:4])
    assert {source["text"] for source in out["sources_1"][4]} == {1, 2}
    assert sum(out["grad_input_1"]) == pytest.approx(1) == sum(out["grad_input_2"])
    undecoded = make(predictor, "layer-saliency", layer=1).saliency_interpret_from_json(PAIR)
    kept = undecoded["instance_1"]
    total = sum(kept["signed_1"]) + sum(kept["signed_2"])
    assert sum(out["signed_1"]) + sum(out["signed_2"]) + out["lost"] == pytest.approx(total)
    assert kept["signed_1"][1] != pytest.approx(kept["signed_2"][1])


def test_the_premise_is_one_and_the_hypothesis_two(tmp_path):
    predictor, _ = rows.two_fields(False)(tmp_path)
    interpreter = make(predictor, "layer-saliency", layer=0)
    first = interpreter.saliency_interpret_from_json(PAIR)["instance_1"]
    swapped = {"premise": PAIR["hypothesis"], "hypothesis": "good"}
    second = interpreter.saliency_interpret_from_json(swapped)["instance_1"]
    assert first["tokens_2"] == second["tokens_1"]
    assert second["tokens_2"] == ["[CLS]", "good", "[SEP]"]


@pytest.mark.parametrize("how", ["sum", "mean", "max"])
def test_words_score_what_their_pieces_do(tmp_path, how):
    predictor, lines = rows.words()(tmp_path)
    config = {"layer": 1, "aggregation": "gradient-x-input", "word_aggregation": how}
    (out,) = make(predictor, "layer-saliency", **config).saliency_interpret_from_json(lines[0]).values()
    # By hand: gradient times state of each piece, from one full pass.
    model = predictor._model
    embedder = model._text_field_embedder.token_embedder_tokens
    tokenizer = AutoTokenizer.from_pretrained(embedder._matched_embedder.config._name_or_path)
    words = lines[0]["sentence"].split()
    pieces = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    ids = [0, *(piece for word in pieces for piece in word), 2]
    states = embedder._matched_embedder.transformer_model(torch.tensor([ids]), output_hidden_states=True)
    last, start, means = states.last_hidden_state[0], 1, []
    for word in pieces:
        means.append(last[start : start + len(word)].mean(0))
        start += len(word)
    logits = model._classification_layer(torch.stack(means).mean(0))
    (gradient,) = torch.autograd.grad(logits.max(), states.hidden_states[1])
    per_piece = (gradient * states.hidden_states[1]).sum(-1)[0, 1:-1].tolist()
    wanted, start = [], 0
    for word in pieces:
        own = per_piece[start : start + len(word)]
        start += len(word)
        reduce = {"sum": sum, "mean": lambda x: sum(x) / len(x), "max": lambda x: max(x, key=abs)}
        wanted.append(reduce[how](own))
    assert max(map(len, pieces)) > 1
    assert out["tokens_1"] == words
    assert out["signed_1"] == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert [piece["token"] for piece in out["pieces_1"]] == [
        None,
        *(i for i, word in enumerate(pieces) for _ in word),
        None,
    ]


def test_a_word_without_a_piece_scores_nothing(tmp_path):
    predictor, _ = rows.words()(tmp_path)
    interpreter = make(predictor, "layer-saliency", layer=1)
    tokens = [Token("good"), Token(""), Token("film")]
    field = TextField(tokens, predictor._dataset_reader._token_indexers)
    (out,) = interpreter.saliency_interpret_batch_instance([Instance({"tokens": field})])
    assert out["instance_1"]["signed_1"][1] == 0 and all(out["instance_1"]["signed_1"][::2])
    empty = TextField([Token("")] * 2, predictor._dataset_reader._token_indexers)
    with pytest.raises(ConfigurationError, match="the text is empty"):
        interpreter.saliency_interpret_batch_instance([Instance({"tokens": empty})])


def test_an_unknown_word_aggregation_is_refused(predictor):
    with pytest.raises(ConfigurationError, match="word_aggregation must be one of"):
        make(predictor, word_aggregation="median")


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


@pytest.mark.parametrize("name", OURS)
def test_textual_entailment_with_one_field(pair_predictor, name):
    out = make(pair_predictor, name, layer=1).saliency_interpret_from_json(PAIR)["instance_1"]
    words = "[CLS] the film is slow [SEP] the film is bad [SEP]".split()
    assert out["tokens_1"] == words
    assert len(out["grad_input_1"]) == len(words)
    assert out["offsets_1"][4] == [12, 16] and out["offsets_1"][9] == [12, 15]


@pytest.mark.parametrize("special_tokens", ["zero", "exclude"])
def test_the_unknown_token_is_a_word_like_others(bert_folder, special_tokens):
    interpreter = make(build_predictor(bert_folder), layer=1, tau=None, special_tokens=special_tokens)
    out = interpreter.saliency_interpret_from_json({"sentence": "a zzz film"})["instance_1"]
    assert out["tokens_1"] == ["[CLS]", "a", "[UNK]", "film", "[SEP]"]
    assert [score != 0 for score in out["signed_1"]] == [False, True, True, True, False]
    assert out["offsets_1"][2] == [2, 5]


def test_float16_is_explained_or_refused(predictor):
    predictor._model.half()
    interpreter = make(predictor, "layer-saliency")
    try:
        torch.nn.functional.layer_norm(torch.ones(1, 2).half(), (2,))
    except RuntimeError:
        with pytest.raises(ConfigurationError, match="float16 model on a CPU; use a GPU"):
            interpreter.saliency_interpret_from_json(LINES[0])
    else:
        scores = interpreter.saliency_interpret_from_json(LINES[0])["instance_1"]["grad_input_1"]
        assert sum(scores) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("blocks, layer", [(11, 0), (12, 2), (25, 4)])
def test_the_layer_left_out(tmp_path, blocks, layer):
    predictor = build_predictor(save_roberta(tmp_path, blocks=blocks))
    for name, own in (
        ("decoded-layer-saliency", layer),
        ("layer-saliency", layer),
        ("projected-gradient-saliency", blocks),
    ):
        found = make(predictor, name).saliency_interpret_from_json(LINES[0])["instance_1"]
        assert found["layer"] == own
    assert make(predictor, layer=None).layers == [layer]
    assert make(predictor, layer=0).layers == [0]
    assert make(predictor, preset="best", layer=1).layers == [1]
    predictor._dataset_reader._token_indexers["tokens"]._tokenizer.mask_token = None
    assert make(predictor).layers == [0]


@pytest.mark.parametrize("name", ["decoded-layer-saliency", "layer-saliency"])
def test_presets_are_names_of_settings(predictor, name):
    for preset, settings in (
        ("fast", {"steps": 1, "rule": "decision"}),
        ("balanced", {"steps": 3, "rule": "decision"}),
        ("best", {"steps": 4, "rule": "adaptive", "marginals": 12}),
    ):
        aggregation = {"type": "integrated-gradients", **settings}
        found = make(predictor, name, preset=preset).saliency_interpret_batch_json(LINES)
        wanted = make(predictor, name, layer=0, aggregation=dict(aggregation))
        assert found == wanted.saliency_interpret_batch_json(LINES)
        if preset == "balanced":
            assert found == make(predictor, name).saliency_interpret_batch_json(LINES)
        # What is given counts.
        at_2 = make(predictor, name, preset=preset, layer=2).saliency_interpret_from_json(LINES[0])
        wanted = make(predictor, name, layer=2, aggregation=dict(aggregation))
        assert at_2 == wanted.saliency_interpret_from_json(LINES[0])
    with pytest.raises(ConfigurationError, match="preset must be one of fast, balanced, best; got 'quick'"):
        make(predictor, name, preset="quick")
