"""The output line, read."""

import pytest

from allennlp_layer_saliency.output_line import instance_scores, output_line

INSTANCE = {
    "grad_input_1": [0.25, 0.75],
    "grad_input_2": [1.0],
    "tokens_1": ["a", "b"],
    "tokens_2": ["c"],
    "offsets_1": [[0, 1], [2, 3]],
    "offsets_2": [[0, 1]],
    "pieces_1": [{"piece": "[CLS]", "token": None}, {"piece": "a", "token": 0}],
    "signed_1": [-1.0, 3.0],
    "target": {"label": "x", "kind": "logit", "score": 2.0},
}


def test_texts_of_an_instance():
    instance = instance_scores(INSTANCE)
    first, second = instance.texts
    assert (first.number, first.tokens, first.scores) == (1, ["a", "b"], [-1.0, 3.0])
    assert first.token_of_position == [None, 0] and second.token_of_position == [0]
    # Of the second there are no signs.
    assert second.scores == second.absolute == [1.0] and second.signed is None
    assert instance.signed and instance.several == [] and instance.layers == [instance]
    assert instance.layer is instance.lost is None and instance.target["label"] == "x"
    assert first.segments == [0, 0] and first.sources is None and first.decoded == []


def test_several_layers():
    layers = [
        {"layer": 1, "lost": 0.5, "signed_1": [1.0, 2.0]},
        {"layer": 2, "grad_input_1": [0.0, 1.0]},
    ]
    instance = instance_scores({**INSTANCE, "layers": layers})
    one, two = instance.layers
    assert (one.layer, two.layer, instance.layer) == (1, 2, None)
    # What is said of all of them is said of each.
    assert one.target == two.target == instance.target
    assert one.texts[0].signed == [1.0, 2.0] and one.texts[0].absolute == [0.25, 0.75]
    assert two.texts[0].absolute == [0.0, 1.0] and two.several == []


@pytest.mark.parametrize(
    "content, predicted, probability",
    [
        ({"label": "a", "probs": [0.25, 0.75]}, "a", 0.75),
        ({"label": "a", "label_probs": [0.25, 0.75]}, "a", 0.75),
        # Of several labels there is no one probability; of a regression's output none at all.
        ({"label": ["a", "b"], "probs": [0.6, 0.75]}, "a, b", None),
        ({"label": [], "probs": [0.1, 0.2]}, "no label", None),
        ({"logits": [0.25]}, None, None),
        # A masked language model's are lists for each mask.
        ({"probs": [[0.25, 0.75]]}, None, None),
        ({"label": {"a": 1}, "probs": []}, None, None),
    ],
)
def test_prediction(content, predicted, probability):
    line = output_line(content)
    assert (line.predicted, line.probability) == (predicted, probability)
    assert line.instances == {} and line.error is None


def test_error_record():
    line = output_line({"id": 3, "line": 7, "error": "no"})
    assert (line.id, line.number, line.error, line.instances) == (3, 7, "no", {})
