import json
import logging

import pytest
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.interpret.saliency_interpreters import SaliencyInterpreter

from tests.conftest import SENTENCES

LINE = {"sentence": SENTENCES[1]}


def write(folder, ranks=(0.9, 1.0, 0.8, 0.4), **changes):
    layers = [
        {"layer": n, "recovery": 1.0, "reciprocal_rank": rank, "intervals": {}}
        for n, rank in enumerate(ranks)
    ]
    (folder / "layers.json").write_text(json.dumps({"layers": layers, "chosen": 1, **changes}))
    return str(folder)


def make(predictor, type="decoded-layer-saliency", **settings):
    return SaliencyInterpreter.from_params(Params({"type": type, **settings}), predictor=predictor)


@pytest.mark.parametrize("type", ["decoded-layer-saliency", "projected-gradient-saliency", "layer-saliency"])
def test_auto_takes_the_chosen_layer(predictor, tmp_path, type):
    folder = write(tmp_path)
    for path in (folder, folder + "/layers.json"):
        auto = make(predictor, type, layer="auto", coherence=path)
        instance = auto.saliency_interpret_from_json(LINE)["instance_1"]
        assert instance["layer"] == 1
        assert instance.pop("coherence") == {"recovery": 1.0, "reciprocal_rank": 1.0}
        fixed = make(predictor, type, layer=1).saliency_interpret_from_json(LINE)["instance_1"]
        assert instance == fixed


def test_a_poor_layer_is_warned_of(predictor, tmp_path, caplog):
    folder = write(tmp_path)
    with caplog.at_level(logging.WARNING, "allennlp_layer_saliency"):
        make(predictor, layer=[0, 2], coherence=folder)
        assert not caplog.records
        out = make(predictor, layer="all", coherence=folder).saliency_interpret_from_json(LINE)
    assert [record.getMessage() for record in caplog.records] == [
        "layer 3 decodes poorly: its pieces' mean reciprocal rank is 0.40, the best layer's 1.00"
    ]
    layers = out["instance_1"]["layers"]
    assert [layer["coherence"]["reciprocal_rank"] for layer in layers] == [0.9, 1.0, 0.8, 0.4]


def test_what_does_not_fit_is_refused(predictor, tmp_path):
    with pytest.raises(ConfigurationError, match='layer "auto" needs `coherence`'):
        make(predictor, layer="auto")
    with pytest.raises(ConfigurationError, match="no file .*make it with `allennlp saliency"):
        make(predictor, layer="auto", coherence=str(tmp_path))
    write(tmp_path, ranks=(1.0, 1.0))
    with pytest.raises(ConfigurationError, match="a model with 2 layers.* this one has 4"):
        make(predictor, layer="auto", coherence=str(tmp_path))
    for content in ("[]", "nonsense", '{"layers": [{}]}'):
        (tmp_path / "layers.json").write_text(content)
        with pytest.raises(ConfigurationError, match="is not what `allennlp saliency layers`"):
            make(predictor, layer="auto", coherence=str(tmp_path))
