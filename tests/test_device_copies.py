"""
On a GPU whatever asks for a tensor's value waits for the device. That is to happen as often for many
layers as for one. Without a GPU the calls that would wait can be counted.
"""

import copy
from collections import Counter

import pytest
import torch
from allennlp.common import Params
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter
from allennlp.predictors import Predictor

from tests.conftest import ROOT

if int(torch.__version__.split(".")[0]) < 2:
    pytest.skip("before torch 2 such calls can't be counted", allow_module_level=True)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

LINES = [{"sentence": "a good film ."}, {"sentence": "too long , but the ending is wonderful ."}]
WAITING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "lift_fresh", "masked_select")
READING = ("tolist", "item", "cpu", "numpy", "__bool__", "__float__", "__int__")


class Calls(TorchDispatchMode):
    """Counts operations whose result the host has to see, or that bring it something of the host's."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()
        self.inside = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = "" if self.inside else func.overloadpacket.__name__
        if name in WAITING:
            self.counts[name] += 1
        if name in ("index", "index_put", "index_put_"):
            if any(index is not None and index.dtype == torch.bool for index in args[1]):
                self.counts["index by a mask"] += 1
        return func(*args, **(kwargs or {}))


class Reads(TorchFunctionMode):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in READING and not self.calls.inside:
            self.calls.counts[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def predictor():
    return Predictor.from_path(str(ROOT / "fixtures" / "sst2-classifier.tar.gz"))


def calls(predictor, monkeypatch, layers, config):
    from allennlp_layer_saliency.core import decoding
    from allennlp_layer_saliency.interpreters import base

    interpreter = SaliencyInterpreter.from_params(
        Params(copy.deepcopy({**config, "layer": layers})), predictor=predictor
    )
    interpreter.saliency_interpret_batch_json(LINES)  # masked states are kept from now on
    # As on a GPU.
    monkeypatch.setattr(decoding, "_order_ties", lambda tied: True)
    # What is written is read once for each layer, when the device has all of its work.
    monkeypatch.setattr(base, "layer_to_json", lambda *_: [{}, {}])
    found = Calls()
    forward = predictor._model.forward

    def own(*args, **kwargs):
        """What AllenNLP's modules and transformers' ask for is theirs."""
        found.inside = True
        try:
            return forward(*args, **kwargs)
        finally:
            found.inside = False

    monkeypatch.setattr(predictor._model, "forward", own)
    with found, Reads(found):
        interpreter.saliency_interpret_batch_json(LINES)
    return found.counts


@pytest.mark.parametrize(
    "config",
    [
        {"type": "decoded-layer-saliency"},
        {"type": "decoded-layer-saliency", "tau": 10, "aggregation": "gradient-x-input"},
        {"type": "decoded-layer-saliency", "aggregation": {"type": "grad-cam"}},
        {"type": "layer-saliency", "aggregation": {"type": "integrated-gradients", "steps": 3}},
        {"type": "layer-saliency", "preset": "best"},
        {"type": "projected-gradient-saliency"},
    ],
    ids=["default", "single-gradient", "grad-cam", "path", "marginals", "projected"],
)
def test_the_host_asks_no_more_for_many_layers_than_for_one(predictor, monkeypatch, config):
    one = calls(predictor, monkeypatch, [1], config)
    many = calls(predictor, monkeypatch, [0, 1, 2, 3, 4], config)
    assert one and many == one
