"""Aggregations that run the blocks above a layer again."""

import captum.attr
import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from allennlp_layer_saliency.interpreters import masked_states
from tests.conformance import rows
from tests.conftest import SENTENCES

LINES = [{"sentence": sentence} for sentence in SENTENCES]


def make(predictor, aggregation, type="layer-saliency", **settings):
    params = Params({"type": type, "aggregation": aggregation, **settings})
    return SaliencyInterpreter.from_params(params, predictor=predictor)


def integrated(**settings):
    return {"type": "integrated-gradients", **settings}


@pytest.mark.parametrize("rule", [("midpoint", "riemann_middle"), ("gauss-legendre",) * 2])
@pytest.mark.parametrize("steps", [2, 5])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_captum_gives_the_same(predictor, layer, steps, rule):
    """Captum runs the whole model for each step; its baseline is the masked input's layer state."""
    ours, theirs = rule
    theirs = {"gauss-legendre": "gausslegendre"}.get(theirs, theirs)
    model = predictor._model
    transformer = model._text_field_embedder.token_embedder_tokens.transformer_model
    out = make(
        predictor, integrated(steps=steps, rule=ours), layer=layer
    ).saliency_interpret_from_json(LINES[1])["instance_1"]

    tokenizer = predictor._dataset_reader._tokenizer.tokenizer
    ids = torch.tensor([tokenizer(SENTENCES[1])["input_ids"]])
    masked = ids.clone()
    masked[:, 1:-1] = tokenizer.mask_token_id
    label = model.vocab.get_token_index(out["target"]["label"], "labels")

    def logits(ids):
        mask = torch.ones_like(ids, dtype=torch.bool)
        tokens = {"tokens": {"token_ids": ids, "mask": mask, "type_ids": torch.zeros_like(ids)}}
        return model(tokens)["logits"]

    method = captum.attr.LayerIntegratedGradients(logits, transformer.encoder.layer[layer - 1])
    attributions, delta = method.attribute(
        ids, masked, target=label, n_steps=steps, method=theirs, return_convergence_delta=True
    )
    attributions = attributions[0] if isinstance(attributions, tuple) else attributions
    wanted = attributions.sum(-1)[0].tolist()
    assert out["signed_1"] == pytest.approx(wanted, abs=1e-5 * max(map(abs, wanted)))
    assert out["completeness_gap"] == pytest.approx(-delta.item(), abs=1e-5)


def test_states_of_masked_inputs_are_computed_once_per_length(predictor, monkeypatch):
    interpreter = make(predictor, integrated(steps=2), layer=1)
    compute = interpreter._states_of_masked
    lengths = []

    def counted(instance):
        states = compute(instance)
        lengths.append(len(states[1]))
        return states

    interpreter._masked_states._compute = counted
    first = interpreter.saliency_interpret_batch_json(LINES)
    assert sorted(lengths) == sorted(set(lengths)) and len(lengths) > 3
    assert interpreter.saliency_interpret_batch_json(LINES) == first
    assert len(lengths) == len(set(lengths))
    # What is kept is bounded; the last is always there.
    monkeypatch.setattr(masked_states, "KEPT_ELEMENTS", 1)
    assert (
        make(predictor, integrated(steps=2), layer=1).saliency_interpret_batch_json(LINES) == first
    )


def test_the_whole_pass_runs_once(predictor):
    """Blocks up to the layer run once for the batch and once for the masked input, others per step."""
    transformer = predictor._model._text_field_embedder.token_embedder_tokens.transformer_model
    calls = []
    for i, block in enumerate(transformer.encoder.layer):
        inner = block.attention.self
        inner.register_forward_hook(lambda m, x, y, i=i: calls.append((i, len(x[0]))))
    interpreter = make(predictor, integrated(steps=4, baseline="zero"), layer=2)
    interpreter.saliency_interpret_batch_json(LINES[:2])
    # Two inputs, then 4 steps of them together, then their baselines.
    assert calls == [(0, 2), (1, 2), (2, 2), (2, 8), (2, 2)]


@pytest.mark.parametrize("type", ["layer-saliency", "decoded-layer-saliency"])
def test_several_layers(predictor, type):
    aggregation = integrated(steps=3)
    out = make(predictor, dict(aggregation), type, layer=[0, 2]).saliency_interpret_from_json(
        LINES[2]
    )["instance_1"]
    for entry in out["layers"]:
        (alone,) = make(
            predictor, dict(aggregation), type, layer=entry["layer"]
        ).saliency_interpret_batch_json([LINES[2]])
        assert entry["signed_1"] == pytest.approx(alone["instance_1"]["signed_1"], abs=1e-6)
        assert entry["completeness_gap"] == pytest.approx(
            alone["instance_1"]["completeness_gap"], abs=1e-6
        )


def test_a_tokenizer_without_a_mask(tmp_path):
    predictor, lines = rows.architecture("gpt2")(tmp_path)
    indexer = predictor._dataset_reader._token_indexers["tokens"]
    indexer._tokenizer.mask_token = None
    by_unknown = make(predictor, integrated()).saliency_interpret_from_json(lines[0])
    indexer._tokenizer.mask_token = indexer._tokenizer.unk_token
    by_mask = make(predictor, integrated()).saliency_interpret_from_json(lines[0])
    assert by_unknown["instance_1"]["signed_1"] == by_mask["instance_1"]["signed_1"]
    indexer._tokenizer.mask_token = indexer._tokenizer.unk_token = None
    with pytest.raises(ConfigurationError, match='neither a mask token nor an unknown.*use "zero"'):
        make(predictor, integrated())
    out = make(predictor, integrated(baseline="zero")).saliency_interpret_from_json(lines[0])
    assert any(out["instance_1"]["signed_1"])


@pytest.mark.parametrize(
    "aggregation, message",
    [
        (integrated(steps=0), "integrated-gradients: steps must be at least 1; got 0"),
        (integrated(rule="simpson"), "rule must be one of .*got 'simpson'"),
        (integrated(baseline="noise"), "baseline must be one of .*got 'noise'"),
        ({"type": "smooth-gradient", "samples": 0}, "samples must be at least 1"),
        ({"type": "smooth-gradient", "noise": -0.1}, "noise 0 or more"),
        (
            {"type": "smooth-gradient", "aggregation": "integrated-gradients"},
            "must be gradient-norm, gradient-x-input or grad-cam",
        ),
    ],
)
def test_settings_out_of_range(predictor, aggregation, message):
    with pytest.raises(ConfigurationError, match=message):
        make(predictor, aggregation)
