"""Every supported set-up through the same list of invariants."""

import copy
import json
import math
import random
import re

import numpy
import pytest
import torch
import transformers
from allennlp.common import Params, cached_transformers
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.training.metrics import Metric

from allennlp_layer_saliency.core.paths import Weights
from allennlp_layer_saliency.interpreters.aggregations import FeatureAggregation
from allennlp_layer_saliency.models import batching
from tests.conformance.rows import ROWS
from tests.conftest import hook_count

OURS = ("decoded-layer-saliency", "projected-gradient-saliency", "layer-saliency")


AVAILABLE = [row for row in ROWS if row.needs is None or hasattr(transformers, row.needs)]


@pytest.fixture(scope="module", params=AVAILABLE, ids=lambda row: f"{row.group}: {row.name}")
def built(request, tmp_path_factory):
    row = request.param
    predictor, lines = row.build(tmp_path_factory.mktemp("row"))
    yield row, predictor, lines
    cached_transformers._clear_caches()


def interpreters(row, predictor, **more):
    for name in OURS:
        if name == "projected-gradient-saliency" and not row.projectable:
            continue
        settings = {**row.settings, **more}
        if name != "projected-gradient-saliency":
            settings["aggregation"] = "gradient-x-input"
        if name == "layer-saliency":
            settings = {k: v for k, v in settings.items() if k not in ("tau", "lm_head")}
        yield make(predictor, type=name, **settings)


def resuming(row, predictor, **more):
    """Interpreters that run the blocks above the layer again."""
    for name, aggregation in (
        ("decoded-layer-saliency", {"type": "integrated-gradients", "steps": 3, "rule": "adaptive"}),
        ("layer-saliency", {"type": "integrated-gradients", "steps": 1, "rule": "midpoint", "marginals": 2}),
        ("layer-saliency", {"type": "smooth-gradient", "samples": 3}),
    ):
        yield make(predictor, type=name, aggregation=aggregation, **row.settings, **more)


def make(predictor, **settings):
    params = Params(copy.deepcopy(settings))  # which building one consumes
    return SaliencyInterpreter.from_params(params, predictor=predictor)


def instances(result):
    return list(result.values())


def scores(result):
    """All signed scores of an input, of all its explained scores and texts."""
    return [
        score
        for instance in instances(result)
        for key in sorted(instance)
        if key.startswith("signed_")
        for score in instance[key]
    ]


def assert_close(got, wanted, tolerance):
    assert [list(instance) for instance in instances(got)] == [
        list(instance) for instance in instances(wanted)
    ]
    a, b = scores(got), scores(wanted)
    size = max(map(abs, b), default=0.0)
    # A score is a sum over hidden units, whose rounding errors stay where the sum is near 0.
    assert a == pytest.approx(b, rel=tolerance, abs=tolerance * size + 5e-8)


def test_scores_are_finite_and_aligned_with_tokens(built):
    row, predictor, lines = built
    explained = 0
    for interpreter in (*interpreters(row, predictor), *resuming(row, predictor)):
        for line, result in zip(lines, interpreter.saliency_interpret_batch_json(lines)):
            json.dumps(result, allow_nan=False)
            texts = [value for value in line.values() if isinstance(value, str)]
            for number, instance in enumerate(instances(result), start=1):
                assert f"instance_{number}" in result
                explained += 1
                signed = [key for key in instance if key.startswith("signed_")]
                assert signed
                for key in signed:
                    n = key.rsplit("_", 1)[1]
                    tokens = instance[f"tokens_{n}"]
                    for other in ("signed", "grad_input", "offsets", "sources"):
                        assert len(instance[f"{other}_{n}"]) == len(tokens)
                    positions = instance.get(f"pieces_{n}", tokens)
                    assert len(instance[f"decoded_{n}"]) == len(positions)
                    total = sum(instance[f"grad_input_{n}"])
                    assert total == pytest.approx(1, abs=1e-5) or total == 0
                    assert all(map(math.isfinite, instance[key]))
                    for token, span in zip(tokens, instance[f"offsets_{n}"]):
                        if span is not None and row.name != "`transformer_qa`":
                            plain = token.replace("Ġ", "").replace("##", "")
                            assert any(text[slice(*span)].strip() == plain for text in texts)
    assert explained >= len(OURS)


def test_a_head_that_can_not_be_projected_on_is_refused(built):
    row, predictor, _ = built
    if not row.projectable:
        with pytest.raises(ConfigurationError, match="size 16; this one has some of size 8"):
            make(predictor, type=OURS[1])


def test_batched_equals_single_in_any_order(built, monkeypatch):
    row, predictor, lines = built
    for interpreter in (
        *interpreters(row, predictor, layer=1),
        *resuming(row, predictor, layer=1),
    ):
        singles = [interpreter.saliency_interpret_from_json(line) for line in lines]
        # One batch of all, whatever their lengths: the shorter are padded.
        monkeypatch.setattr(batching, "ENOUGH_PIECES", 10**6)
        monkeypatch.setattr(interpreter.texts.budget, "pieces", 10**6)
        for order in (range(len(lines)), range(len(lines) - 1, -1, -1)):
            batch = interpreter.saliency_interpret_batch_json([lines[i] for i in order])
            for i, result in zip(order, batch):
                assert_close(result, singles[i], row.tolerance)
        monkeypatch.undo()


def test_padding_changes_nothing(built, monkeypatch):
    row, predictor, lines = built
    short = min(lines, key=lambda line: len(json.dumps(line)))
    longest = max(lines, key=lambda line: len(json.dumps(line)))
    monkeypatch.setattr(batching, "ENOUGH_PIECES", 10**6)
    for interpreter in (
        *interpreters(row, predictor, layer=0),
        *resuming(row, predictor, layer=0),
    ):
        monkeypatch.setattr(interpreter.texts.budget, "pieces", 10**6)
        alone = interpreter.saliency_interpret_from_json(short)
        padded = interpreter.saliency_interpret_batch_json([longest, short, longest])[1]
        assert_close(padded, alone, row.tolerance)


@pytest.mark.skipif(torch.__version__.startswith("1."), reason="refused with torch 1 on a CPU")
def test_mixed_precision(built):
    row, predictor, lines = built
    if "decomposable" in type(predictor._model).__name__.lower():
        with pytest.raises(ConfigurationError, match="uses AllenNLP's masked softmax"):
            make(predictor, type=OURS[2], autocast="bfloat16").saliency_interpret_batch_json(lines)
        return
    for make_all in (interpreters, resuming):
        *_, plain = make_all(row, predictor, layer=1)
        *_, low = make_all(row, predictor, layer=1, autocast="bfloat16")
        for line in lines:
            if row.name == "DeBERTa" and not transformers.__version__.startswith("4."):
                with pytest.raises(ConfigurationError, match="DebertaModel can't run in mixed prec"):
                    low.saliency_interpret_from_json(line)
                continue
            try:
                outputs = [i.saliency_interpret_from_json(line) for i in (plain, low)]
            except ConfigurationError as error:
                # Not all CPUs have all layers in bfloat16.
                assert "LSTM" in str(predictor._model) and "mixed precision on this CPU" in str(error)
                continue
            targets = [[entry["target"] for entry in instances(output)] for output in outputs]
            if [t["label"] for t in targets[0]] != [t["label"] for t in targets[1]]:
                # Of two classes as good as each other another one is the best then.
                for first, second in zip(*targets):
                    assert first["score"] == pytest.approx(second["score"], abs=0.01)
                continue
            wanted, got = map(scores, outputs)
            size = max(map(abs, wanted), default=0.0)
            assert got == pytest.approx(wanted, abs=0.3 * size, rel=0)


def test_the_same_seed_gives_the_same_bytes(built):
    row, predictor, lines = built
    for interpreter in (*interpreters(row, predictor), *resuming(row, predictor)):
        dumps = {json.dumps(interpreter.saliency_interpret_batch_json(lines)) for _ in range(2)}
        assert len(dumps) == 1


def state_of(model):
    return (
        hook_count(model),
        [p.requires_grad for p in model.parameters()],
        [p.grad for p in model.parameters()],
        [m.training for m in model.modules()],
        ["forward" in vars(m) for m in model.modules()],
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(numpy.random.get_state()),
        torch.is_grad_enabled(),
        [
            {k: re.sub(" at 0x[0-9a-f]+", "", str(v)) for k, v in vars(value).items()}
            for module in model.modules()
            for value in vars(module).values()
            if isinstance(value, Metric)
        ],
    )


def test_the_model_is_left_as_it_was(built):
    row, predictor, lines = built
    model = predictor._model
    for interpreter in (*interpreters(row, predictor), *resuming(row, predictor)):
        before = state_of(model)
        interpreter.saliency_interpret_batch_json(lines)
        assert state_of(model) == before

        def fail(*_):
            raise RuntimeError("in the middle")

        # A block in the middle of the transformer, so that hooks below it have run.
        handle = interpreter.texts.hf_layers.taps[-1].module.register_forward_hook(fail)
        before = state_of(model)
        with pytest.raises(RuntimeError, match="in the middle"):
            interpreter.saliency_interpret_batch_json(lines)
        assert state_of(model) == before
        handle.remove()


def test_decoding_conserves_saliency(built):
    """With tau null and every token kept, decoding moves saliency and loses none."""
    row, predictor, lines = built
    if row.tokens == "words":
        return  # special tokens belong to no word
    keep = {"layer": 1, "tau": None, "special_tokens": "keep"}
    decoded, *_, undecoded = interpreters(row, predictor, **keep)
    for line in lines:
        moved, kept = (i.saliency_interpret_from_json(line) for i in (decoded, undecoded))
        for a, b in zip(instances(moved), instances(kept)):
            lost = a["lost"]
            total, wanted = sum(scores({"": a})) + lost, sum(scores({"": b}))
            size = sum(map(abs, scores({"": b})))
            assert total == pytest.approx(wanted, abs=1e-5 * size + 1e-7)


@pytest.mark.parametrize("layer", [0, 1])
def test_scores_are_the_derivative(built, layer):
    """
    gradient-x-input sums to the derivative of y_c when the layer's state is scaled: here by central
    differences, the state being scaled by a hook of the test's own.
    """
    row, predictor, lines = built
    if "folded" in (row.tokens, row.name.split(", ")[-1]) or row.name == "bfloat16":
        return  # the transformer sees more than the tokens; differences need precision
    *_, interpreter = interpreters(row, predictor, layer=layer)
    tap = interpreter.texts.hf_layers.taps[layer]
    line = lines[0]

    def explained(step, belongs=None):
        count = 0

        def hook(module, inputs, output):
            nonlocal count
            count += 1
            if (count - 1) % tap.calls != tap.call:
                return None
            state = output[0] if isinstance(output, tuple) else output
            factor = 1 + step
            if belongs is not None:
                factor = 1 + step * torch.tensor(belongs[(count - 1) // tap.calls]).view(1, -1, 1)
            return (factor * state, *output[1:]) if isinstance(output, tuple) else factor * state

        handle = tap.module.register_forward_hook(hook)
        result = interpreter.saliency_interpret_from_json(line)
        handle.remove()
        return instances(result)

    predictor._model.double()
    # GPT-Neo makes a mask of the default type, with the model's smallest number in it.
    hooks = [
        predictor._model.register_forward_pre_hook(lambda *_: torch.set_default_dtype(torch.double)),
        predictor._model.register_forward_hook(lambda *_: torch.set_default_dtype(torch.float)),
    ]
    try:
        plain = explained(0.0)
        # Special tokens belong to no word, so that their states stay as they are.
        belongs = [
            [float(piece["token"] is not None) for piece in plain[0][key]]
            for key in sorted(plain[0] if plain else {})
            if key.startswith("pieces_")
        ] or None
        step = 1e-3
        for got, more, less in zip(plain, explained(step, belongs), explained(-step, belongs)):
            assert {**more["target"], "score": 0} == {**less["target"], "score": 0}
            wanted = (more["target"]["score"] - less["target"]["score"]) / (2 * step)
            size = sum(map(abs, scores({"": got})))
            assert sum(scores({"": got})) == pytest.approx(wanted, abs=2e-3 * size + 1e-6)
    finally:
        torch.set_default_dtype(torch.float)
        for hook in hooks:
            hook.remove()
        predictor._model.float()


class Looking(FeatureAggregation):
    """An aggregation that keeps what it is given."""

    def __init__(self, resumes):
        self.resumes = resumes

    def __call__(self, at):
        self.at = at
        return [Weights(at.mask.float()) for _ in at.scores]


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_resuming_equals_the_whole_pass(built, layer):
    """Scores and gradients at other states, beside a whole pass in which a hook puts these states."""
    row, predictor, lines = built
    if "folded" in (row.tokens, row.name.split(", ")[-1]):
        return  # the hook scales the special tokens between segments too
    factors = (0.5, 0.9)
    resumed, *_ = resuming(row, predictor, layer=layer)
    *_, whole = interpreters(row, predictor, layer=layer)
    choose, fix = resumed._target.choose, resumed._target.fixed

    def kept_choices(*args):
        chosen.append(choose(*args))
        return chosen[-1]

    def kept_batch(*args):
        fixed.append(fix(*args))
        return fixed[-1]

    chosen, fixed = [], []
    resumed._target.choose, resumed._target.fixed = kept_choices, kept_batch
    resumed._aggregation = Looking(resumes=True)
    resumed.saliency_interpret_from_json(lines[0])
    assert chosen[-1] == chosen[0]
    if not any(chosen[0]):
        return
    at = resumed._aggregation.at
    states = torch.cat([factor * at.hidden_states for factor in factors])
    scores, gradients = at.resume(states, True)
    assert scores.shape == (len(at.scores), 2)

    forward = whole._target.forward
    whole._target.forward = lambda _: forward(fixed[0])
    whole._target.choose = lambda *_: chosen[0]
    whole._aggregation = Looking(resumes=False)
    (tap,) = [whole.texts.hf_layers.taps[i] for i in whole.layers]
    for n, factor in enumerate(factors):
        count = 0

        def scale(module, inputs, output, factor=factor):
            nonlocal count
            count += 1
            if (count - 1) % tap.calls != tap.call:
                return None
            first, *others = output if isinstance(output, tuple) else (output,)
            return (factor * first, *others) if isinstance(output, tuple) else factor * first

        handle = tap.module.register_forward_hook(scale)
        whole.saliency_interpret_from_json(lines[0])
        handle.remove()
        wanted = whole._aggregation.at
        tolerance = row.tolerance
        assert torch.allclose(wanted.hidden_states, states[n : n + 1], tolerance, 1e-7)
        assert torch.allclose(scores[:, n], wanted.scores[:, 0], tolerance, tolerance)
        for got, right in zip(gradients, wanted.gradients):
            size = right.abs().max().item()
            assert torch.allclose(got[n], right[0], tolerance, tolerance * size + 1e-9)


def test_scores_of_masked_inputs_are_those_of_their_layers_states(built):
    """They come with the states where the model reads by layers alone, and from the layer on elsewhere."""
    row, predictor, lines = built
    found = []
    for known in (True, False):
        aggregation = {"type": "integrated-gradients", "steps": 2}
        interpreter = make(predictor, type=OURS[2], layer=1, aggregation=aggregation, **row.settings)
        if not known:
            interpreter.texts.layers_tell_all = lambda instance: False
        outputs = interpreter.saliency_interpret_batch_json(lines)
        found.append([e["completeness_gap"] for output in outputs for e in instances(output)])
    # In low precision they are rounded at other places.
    tolerance = 0.05 if row.name == "bfloat16" else 1e-5
    assert found[0] == pytest.approx(found[1], abs=tolerance)


def test_integrated_gradients_are_complete(built):
    row, predictor, lines = built
    if row.name == "bfloat16":
        return  # its scores have three digits
    aggregation = {"type": "integrated-gradients", "steps": 64}
    for name in ("layer-saliency", "decoded-layer-saliency"):
        settings = {} if name == "layer-saliency" else {"tau": None, "special_tokens": "keep"}
        interpreter = make(predictor, type=name, layer=1, aggregation=aggregation, **settings, **row.settings)
        for line in lines:
            for instance in instances(interpreter.saliency_interpret_from_json(line)):
                size = sum(map(abs, scores({"": instance}))) + abs(instance["target"]["score"])
                assert abs(instance["completeness_gap"]) < 1e-3 * size
