"""Scores equal an independent computation straight from the method's definition."""

import itertools

import pytest
import torch
from allennlp.common import Params
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from tests import reference
from tests.conftest import SENTENCES, build_predictor

AGGREGATIONS = ("gradient-norm", "gradient-x-input", "grad-cam")
LAYERS = (0, 2, 3)  # the first, a middle and the last
SPECIAL = {0, 1, 2, 4}  # <s>, <pad>, </s>, <mask>; not <unk>


@pytest.fixture(scope="module")
def explained_model(roberta_folder):
    return build_predictor(roberta_folder)


@pytest.fixture(scope="module")
def language_model(roberta_folder):
    return reference.masked_lm(roberta_folder)


def interpret(predictor, texts, batched, **config):
    interpreter = SaliencyInterpreter.from_params(Params(config), predictor=predictor)
    lines = [{"sentence": text} for text in texts]
    if batched:
        return [out["instance_1"] for out in interpreter.saliency_interpret_batch_json(lines)]
    return [interpreter.saliency_interpret_from_json(line)["instance_1"] for line in lines]


def assert_close(got, wanted):
    assert len(got) == len(wanted)
    assert got == pytest.approx(wanted, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    "aggregation, layer, tau, normalise, batched",
    itertools.product(AGGREGATIONS, LAYERS, (1, 10, None), ("input", "vocabulary"), (False, True)),
)
def test_decoded_layer_saliency(explained_model, language_model, aggregation, layer, tau, normalise, batched):
    texts = SENTENCES[:8] if batched else SENTENCES[1:3]
    instances = interpret(
        explained_model,
        texts,
        batched,
        type="decoded-layer-saliency",
        layer=layer,
        aggregation={"type": aggregation},
        tau=tau,
        normalise=normalise,
    )
    for text, instance in zip(texts, instances):
        hidden, gradient, ids, value = reference.hidden_state_and_gradient(explained_model, text, layer)
        s = reference.weights(aggregation, hidden, gradient)
        decoded = reference.probabilities(language_model, hidden)
        a = reference.rows_of_a(decoded, ids, SPECIAL, tau, normalise, "zero")
        wanted = reference.decoded_layer_scores(s, a, ids, SPECIAL, "zero")
        assert_close(instance["signed_1"], wanted)
        total = sum(map(abs, wanted))
        assert_close(instance["grad_input_1"], [abs(x) / total if total else 0.0 for x in wanted])
        assert instance["target"]["score"] == pytest.approx(value, abs=1e-5)
        lost = sum(weight * (1 - sum(row.values())) for weight, row in zip(s, a))
        assert instance["lost"] == pytest.approx(lost, abs=1e-4)


@pytest.mark.parametrize(
    "layer, tau, normalise, batched",
    itertools.product(LAYERS, (1, 10, None), ("input", "vocabulary"), (False, True)),
)
def test_projected_gradient_saliency(explained_model, language_model, layer, tau, normalise, batched):
    texts = SENTENCES[:8] if batched else SENTENCES[1:3]
    instances = interpret(
        explained_model,
        texts,
        batched,
        type="projected-gradient-saliency",
        layer=layer,
        tau=tau,
        normalise=normalise,
    )
    embeddings = language_model.lm_head.decoder.weight.detach()
    for text, instance in zip(texts, instances):
        hidden, gradient, ids, _ = reference.hidden_state_and_gradient(explained_model, text, layer)
        decoded = reference.probabilities(language_model, hidden)
        a = reference.rows_of_a(decoded, ids, SPECIAL, tau, normalise, "zero")
        wanted = reference.projected_gradient_scores(gradient, embeddings, a, ids, SPECIAL, "zero")
        assert_close(instance["signed_1"], wanted)
        sums = gradient.sum(0).double() @ embeddings.t()
        best = instance["vocabulary"][0]
        index = explained_model._dataset_reader._tokenizer.tokenizer.convert_tokens_to_ids(best["token"])
        assert index == int(sums.abs().argmax())
        assert best["score"] == pytest.approx(sums[index].item(), rel=1e-4)


@pytest.mark.parametrize("aggregation, layer", itertools.product(AGGREGATIONS, LAYERS))
def test_layer_saliency(explained_model, aggregation, layer):
    instances = interpret(
        explained_model,
        SENTENCES,
        True,
        type="layer-saliency",
        layer=layer,
        aggregation={"type": aggregation},
    )
    for text, instance in zip(SENTENCES, instances):
        hidden, gradient, _, _ = reference.hidden_state_and_gradient(explained_model, text, layer)
        assert_close(instance["signed_1"], reference.weights(aggregation, hidden, gradient))


@pytest.mark.parametrize("special_tokens", ["zero", "keep", "exclude"])
def test_special_tokens(explained_model, language_model, special_tokens):
    (instance,) = interpret(
        explained_model,
        SENTENCES[3:4],
        False,
        type="decoded-layer-saliency",
        layer=1,
        aggregation="gradient-x-input",
        tau=None,
        special_tokens=special_tokens,
    )
    hidden, gradient, ids, _ = reference.hidden_state_and_gradient(explained_model, SENTENCES[3], 1)
    s = reference.weights("gradient-x-input", hidden, gradient)
    a = reference.rows_of_a(
        reference.probabilities(language_model, hidden), ids, SPECIAL, None, "input", special_tokens
    )
    wanted = reference.decoded_layer_scores(s, a, ids, SPECIAL, special_tokens)
    assert_close(instance["signed_1"], wanted)
    assert (instance["signed_1"][0] != 0) == (special_tokens == "keep")


@pytest.mark.parametrize(
    "settings, score",
    [
        ({"target_class": "mixed"}, lambda z: z[2]),
        ({"target_class": 0}, lambda z: z[0]),
        ({"target_class": 1, "contrast_class": "mixed"}, lambda z: z[1] - z[2]),
        (
            {"target": "log-probability", "target_class": "negative"},
            lambda z: torch.log_softmax(z, 0)[0],
        ),
    ],
)
def test_targets(explained_model, settings, score):
    text = SENTENCES[0]
    (instance,) = interpret(
        explained_model,
        [text],
        False,
        type="layer-saliency",
        layer=1,
        aggregation="gradient-x-input",
        **settings,
    )
    hidden, gradient, _, value = reference.hidden_state_and_gradient(explained_model, text, 1, score)
    assert_close(instance["signed_1"], reference.weights("gradient-x-input", hidden, gradient))
    assert instance["target"]["score"] == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("layer", LAYERS)
def test_saliency_is_conserved(explained_model, aggregation, layer):
    """With every vocabulary item, rows normalised and special tokens kept, nothing is lost."""
    instances = interpret(
        explained_model,
        SENTENCES,
        True,
        type="decoded-layer-saliency",
        layer=layer,
        aggregation=aggregation,
        tau=None,
        special_tokens="keep",
    )
    for text, instance in zip(SENTENCES, instances):
        hidden, gradient, _, _ = reference.hidden_state_and_gradient(explained_model, text, layer)
        s = reference.weights(aggregation, hidden, gradient)
        assert sum(instance["signed_1"]) == pytest.approx(sum(s), abs=1e-5)
        assert instance["lost"] == pytest.approx(0.0, abs=1e-5)


def test_all_layers_equal_each_alone(explained_model):
    line = {"sentence": SENTENCES[5]}
    (together,) = interpret(
        explained_model,
        [line["sentence"]],
        False,
        type="decoded-layer-saliency",
        layer="all",
        decoded_top_k=0,
    )
    assert [entry["layer"] for entry in together["layers"]] == [0, 1, 2, 3]
    mean = torch.tensor([entry["grad_input_1"] for entry in together["layers"]]).mean(0)
    assert_close(together["grad_input_1"], (mean / mean.sum()).tolist())
    for entry in together["layers"]:
        (alone,) = interpret(
            explained_model,
            [line["sentence"]],
            False,
            type="decoded-layer-saliency",
            layer=entry["layer"],
        )
        assert_close(entry["signed_1"], alone["signed_1"])


def test_the_model_decodes_to_its_input(explained_model):
    """Otherwise most scores of these tests would be 0, and the comparisons above would say little."""
    instances = interpret(explained_model, SENTENCES, True, type="decoded-layer-saliency", layer=2, tau=10)
    scores = [score for instance in instances for score in instance["signed_1"][1:-1]]
    assert sum(score != 0 for score in scores) > 0.7 * len(scores)
    assert min(scores) < 0 < max(scores)


def test_last_layer_of_a_first_position_pooler(explained_model, roberta_folder):
    """Undecoded, all gradient sits on the first position; decoding turns it into words."""
    (plain,) = interpret(explained_model, SENTENCES[:1], False, type="layer-saliency", layer=-1)
    assert plain["grad_input_1"] == [1.0] + [0.0] * (len(plain["tokens_1"]) - 1)
    (decoded,) = interpret(
        explained_model,
        SENTENCES[:1],
        False,
        type="decoded-layer-saliency",
        layer=-1,
        tau=None,
    )
    assert sum(score > 0 for score in decoded["grad_input_1"]) == len(decoded["tokens_1"]) - 2
