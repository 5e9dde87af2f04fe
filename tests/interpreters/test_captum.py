"""Captum's methods through our adapter, beside Captum on the model itself."""

import captum.attr
import numpy
import pytest
import torch
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from allennlp_layer_saliency.interpreters.captum import DEFAULTS
from tests.conftest import SENTENCES, hook_count

LINES = [{"sentence": sentence} for sentence in SENTENCES[:4]]


def make(predictor, method, **settings):
    params = Params({"type": "captum", "method": method, **settings})
    return SaliencyInterpreter.from_params(params, predictor=predictor)


class Bare(torch.nn.Module):
    """The classifier as a function of word-piece ids, for Captum's own layer methods."""

    def __init__(self, predictor):
        super().__init__()
        self.model = predictor._model
        self.transformer = self.model._text_field_embedder.token_embedder_tokens.transformer_model
        tokenizer = predictor._dataset_reader._tokenizer.tokenizer
        self.ids = torch.tensor([tokenizer(SENTENCES[1])["input_ids"]])
        self.masked = self.ids.clone()
        self.masked[:, 1:-1] = tokenizer.mask_token_id

    def forward(self, ids):
        mask = torch.ones_like(ids, dtype=torch.bool)
        tokens = {"tokens": {"token_ids": ids, "mask": mask, "type_ids": torch.zeros_like(ids)}}
        return self.model(tokens)["logits"]

    def layer(self, index):
        encoder = self.transformer
        return encoder.encoder.layer[index - 1] if index else encoder.embeddings


def wanted(attributions):
    attributions = attributions[0] if isinstance(attributions, tuple) else attributions
    return attributions.sum(-1)[0].tolist()


def numbers_of(instance):
    return [*instance["signed_1"], *instance["grad_input_1"], instance["target"]["score"]]


def explained(predictor, method, **settings):
    out = make(predictor, method, **settings).saliency_interpret_from_json(LINES[1])["instance_1"]
    label = predictor._model.vocab.get_token_index(out["target"]["label"], "labels")
    return out["signed_1"], label


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize(
    "method, theirs, arguments",
    [
        ("IntegratedGradients", "LayerIntegratedGradients", {"n_steps": 5}),
        ("InputXGradient", "LayerGradientXActivation", {}),
        ("DeepLift", "LayerDeepLift", {}),
    ],
)
def test_layer_methods(predictor, layer, method, theirs, arguments):
    scores, label = explained(predictor, method, layer=layer, arguments=arguments)
    bare = Bare(predictor)
    attribution = getattr(captum.attr, theirs)(bare, bare.layer(layer))
    baselines = () if theirs == "LayerGradientXActivation" else (bare.masked,)
    found = attribution.attribute(bare.ids, *baselines, target=label, **arguments)
    expected = wanted(found)
    assert scores == pytest.approx(expected, abs=1e-5 * max(map(abs, expected)))


@pytest.mark.parametrize("window", [1, 3])
def test_occlusion_of_embeddings_masks_word_pieces(predictor, window):
    """At layer 0 the masked state of a position is that of a mask token."""
    scores, label = explained(predictor, "Occlusion", arguments={"sliding_window_shapes": window})
    bare = Bare(predictor)
    found = captum.attr.Occlusion(bare).attribute(bare.ids, (window,), baselines=bare.masked, target=label)
    assert scores == pytest.approx(found[0].tolist(), abs=1e-5)


def test_occlusion_by_hand(predictor):
    scores, label = explained(predictor, "Occlusion", arguments={"sliding_window_shapes": 1})
    bare = Bare(predictor)
    expected = []
    with torch.no_grad():
        for position in range(bare.ids.size(1)):
            ids = bare.ids.clone()
            ids[0, position] = bare.masked[0, position]
            expected.append((bare(bare.ids) - bare(ids))[0, label].item())
    assert scores == pytest.approx(expected, abs=1e-5)


def test_shapley_values_are_complete(predictor):
    scores, label = explained(predictor, "ShapleyValueSampling", layer=1, arguments={"n_samples": 2})
    bare = Bare(predictor)
    with torch.no_grad():
        difference = (bare(bare.ids) - bare(bare.masked))[0, label].item()
    assert sum(scores) == pytest.approx(difference, abs=1e-4)


@pytest.mark.parametrize("method", sorted(DEFAULTS))
def test_each_method(predictor, method):
    """Aligned, the same alone and in a batch, reproducible; and everything as before."""
    arguments = {name: 4 for name in DEFAULTS[method] if name.startswith("n_")}
    interpreter = make(predictor, method, layer=1, arguments=arguments)
    hooks = hook_count(predictor._model)
    numbers = torch.get_rng_state(), numpy.random.get_state()[1].tolist()
    together = interpreter.saliency_interpret_batch_json(LINES)
    for line, result in zip(LINES, together):
        instance = result["instance_1"]
        assert len(instance["signed_1"]) == len(instance["tokens_1"])
        assert sum(instance["grad_input_1"]) == pytest.approx(1)
        alone = interpreter.saliency_interpret_from_json(line)
        assert interpreter.saliency_interpret_from_json(line) == alone
        # Several rows may be added up in another order than one.
        assert list(alone["instance_1"]) == list(instance)
        assert alone["instance_1"]["tokens_1"] == instance["tokens_1"]
        assert numbers_of(instance) == pytest.approx(numbers_of(alone["instance_1"]), rel=1e-4, abs=1e-6)
    assert hook_count(predictor._model) == hooks
    assert torch.equal(torch.get_rng_state(), numbers[0])
    assert numpy.random.get_state()[1].tolist() == numbers[1]


@pytest.mark.parametrize("method", ["Lime", "KernelShap", "GradientShap"])
def test_the_seed_matters(predictor, method):
    a, b = (make(predictor, method, seed=seed).saliency_interpret_from_json(LINES[1]) for seed in (0, 1))
    assert a["instance_1"]["signed_1"] != b["instance_1"]["signed_1"]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"method": "LayerGradCam"}, 'is the one without "Layer" in its name'),
        (
            {"method": "Lime", "arguments": {"n_sample": 3}},
            "Lime.attribute has no argument n_sample",
        ),
        ({"method": "DeepLift", "baseline": "nothing"}, "none that is written 'nothing'"),
    ],
)
def test_mistakes(predictor, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        make(predictor, **settings)
