import json
import os

import pytest
from allennlp.common import Params
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from allennlp_layer_saliency.commands import head as head_command
from allennlp_layer_saliency.interpreters.lm_heads import tuned
from tests.commands.test_archive import save_classifier
from tests.conftest import ROOT

BUNDLED = "fixtures/sst2-classifier.tar.gz"
SENTENCE = {"sentence": "an utterly charming film, not bad"}


@pytest.fixture
def run(saliency):
    def run(*flags, folder="out", **config):
        config = {
            "archive_file": BUNDLED,
            "data": {"path": "fixtures/sst2_sample.jsonl"},
            "steps": 40,
            **config,
        }
        return saliency("head", "head.json", config, folder, *flags)

    return run


@pytest.fixture(scope="module")
def predictor():
    before = os.getcwd()
    os.chdir(ROOT)
    yield Predictor.from_path(BUNDLED)
    os.chdir(before)


def explainer(predictor, path, layer, **settings):
    params = {"type": "decoded-layer-saliency", "layer": layer, **settings}
    if path is not None:
        params["lm_head"] = {"type": "tuned", "path": str(path)}
    return SaliencyInterpreter.from_params(Params(params), predictor=predictor)


def test_it_gains_and_can_be_used(run, tmp_path, predictor):
    results, shown = run()
    assert results["fitted"] == [0, 1, 2, 3, 4] and results["texts"] == 32 and results["held_out"] == 3
    for losses in results["losses"].values():
        assert min(losses) <= losses[1] <= losses[0]
    assert "chosen for" in shown and "head.safetensors" in shown
    assert os.path.getsize(tmp_path / "out" / "head.safetensors") < 5 * (160 * 161 * 4) + 2000
    out = tmp_path / "out"
    explained = explainer(predictor, out, 4).saliency_interpret_from_json(SENTENCE)["instance_1"]
    plain = explainer(predictor, None, 4).saliency_interpret_from_json(SENTENCE)["instance_1"]
    assert explained["signed_1"] != plain["signed_1"]
    # All saliency is handed on, whatever the head.
    assert sum(explained["signed_1"]) + explained["lost"] == pytest.approx(
        sum(plain["signed_1"]) + plain["lost"], rel=1e-3
    )
    # `layers` measures it as any other head.
    from allennlp_layer_saliency.commands.layers import LayersExperiment

    path = tmp_path / "layers.json"
    path.write_text(
        json.dumps(
            {
                "archive_file": BUNDLED,
                "data": {"path": "fixtures/sst2_sample.jsonl"},
                "lm_heads": {"base": {"type": "pretrained"}, "tuned": {"type": "tuned", "path": str(out)}},
            }
        )
    )
    found = LayersExperiment.read(str(path)).results(-1)["heads"]
    assert found["tuned"][4]["input_mass"] > found["base"][4]["input_mass"]


def test_the_same_seed_gives_the_same_bytes_and_a_stopped_fit_goes_on(run, tmp_path, monkeypatch):
    run(layers=[1, -1], folder="whole")
    fits = []
    real = head_command.fit

    def stopped(*args, **kwargs):
        if len(fits) == 1:
            raise KeyboardInterrupt
        fits.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(head_command, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(layers=[1, -1])
    monkeypatch.setattr(head_command, "fit", lambda *a, **k: fits.append(1) or real(*a, **k))
    results, _ = run(layers=[1, -1])
    assert len(fits) == 2 and results["fitted"] == [1, 4]
    for name in ("head.safetensors", "head.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    run(layers=[1, -1])
    assert len(fits) == 2  # what is there is shown again


@pytest.mark.parametrize("target", ["distribution", "mixture"])
def test_the_pretrained_distribution(run, target):
    results, _ = run(target=target, layers=[4])
    assert min(results["losses"]["4"]) < results["losses"]["4"][0]


def test_controls_are_far_below(run):
    ranks = {
        control: run(control=control, layers=[3], folder=str(control), steps=100)[0]["layers"][0][
            "reciprocal_rank"
        ]
        for control in (None, "shuffled-states", "random-weights")
    }
    # What is left to them is to name the pieces that are frequent.
    assert max(ranks["shuffled-states"], ranks["random-weights"]) < 0.65 < 0.95 < ranks[None]


def test_a_model_without_a_head(run, tmp_path):
    folder = save_classifier("bert", tmp_path)
    data = {"path": str(ROOT / "fixtures" / "sst2_sample.jsonl")}
    results, _ = run(archive_file=folder, base="tied-embeddings", data=data, layers=[-1])
    assert results["base"] == {"type": "tied-embeddings"}


def test_texts_that_can_not_be_read_are_counted(run, tmp_path):
    data = tmp_path / "data.jsonl"
    lines = ["no json", json.dumps({"sentence": "good " * 300})]
    data.write_text("\n".join([*lines, *(json.dumps({"sentence": f"film number {i}"}) for i in range(9))]))
    results, shown = run(data={"path": str(data)}, layers=[0])
    assert results["texts"] == 9 and [each["text"] for each in results["skipped"]] == [1, 2]
    assert "2 left out, first text 1" in shown


@pytest.mark.parametrize(
    "config, message",
    [
        ({"target": "words"}, "target must be one of pieces, mixture, distribution; got 'words'"),
        ({"control": "none"}, "control must be one of shuffled-states, random-weights; got 'none'"),
        ({"layers": [7]}, "layers must be 0 to 4, or -1 to -5 from the last; got [7]"),
        ({"steps": -1}, "steps must be at least 1"),
        (
            {"base": "tied-embeddings", "target": "mixture"},
            'target "mixture" needs a base of type "pretrained"',
        ),
        ({"archive_file": "nowhere"}, "no archive at nowhere"),
    ],
)
def test_mistakes_are_one_line(run, failure, config, message):
    assert message in failure(run, **config)


def test_no_text_is_one_line(run, failure, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text("\n")
    assert "at least two texts that can be read are wanted" in failure(run, data={"path": str(data)})
    data.write_text("no json\n")
    assert "text 1 was left out" in failure(run, folder="other", data={"path": str(data)})


def test_a_tuned_head_is_of_one_model(run, tmp_path, predictor):
    run(layers=[2])
    out = tmp_path / "out"
    for content, message in (
        (None, "holds no head.json of a tuned head"),
        ("{", "not valid JSON|no results|holds no head.json"),
    ):
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        if content is not None:
            (other / "head.json").write_text(content)
        with pytest.raises(Exception, match=message):
            explainer(predictor, other, 2)
    with pytest.raises(Exception, match="was fitted to layer 2, not to 3"):
        explainer(predictor, out, 3)
    with pytest.raises(Exception, match="needs an LM head whose output embeddings"):
        explainer(predictor, out, 2, type="projected-gradient-saliency")
    described = json.loads((out / "head.json").read_text())
    (out / "head.json").write_text(json.dumps({**described, "fingerprint": "0"}))
    with pytest.raises(Exception, match="was fitted to another model, fixtures"):
        explainer(predictor, out, 2)
    (out / "head.json").write_text(json.dumps({**described, "fitted": [1, 2]}))
    with pytest.raises(Exception, match="is not as head.json beside it says"):
        explainer(predictor, out, 2)
    (out / "head.json").write_text(json.dumps(described))
    weights = out / "head.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(Exception, match="is damaged .*fit the head again"):
        explainer(predictor, out, 2)
    weights.unlink()
    with pytest.raises(Exception, match="no file .*head.safetensors"):
        explainer(predictor, out, 2)


def test_the_fingerprint_is_of_the_weights(predictor):
    transformer = predictor._model._text_field_embedder.token_embedder_tokens.transformer_model
    before = tuned.fingerprint(transformer)
    assert tuned.fingerprint(transformer) == before
    with_change = next(p for name, p in transformer.named_parameters() if "layer.2" in name)
    kept = with_change.data.clone()
    with_change.data += 1e-3
    try:
        assert tuned.fingerprint(transformer) != before
    finally:
        with_change.data.copy_(kept)
