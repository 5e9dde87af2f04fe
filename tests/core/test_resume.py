import pytest
import torch
from torch import nn

from allennlp_layer_saliency.core.capture import Tap, recorded
from allennlp_layer_saliency.core.resume import resume
from tests.core.test_capture import Scale, Toy, one


def traced(model, x, layer):
    taps = [Tap(block) for block in model.blocks[: layer + 1]]
    with recorded(*(tap.module for tap in taps)) as outputs:
        model(x)
    return taps, outputs


def test_only_what_is_above_runs():
    model = Toy().eval()
    x = torch.ones(2, 1, 1)
    taps, outputs = traced(model, x, 1)
    for block in model.blocks:
        block.built_graph.clear()
    states = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1)
    scores, gradients = resume(model, taps, outputs, [states], 2, lambda: model(x.repeat(2, 1, 1)), one)
    # y = (5 h_1)^2, dy/dh_1 = 50 h_1.
    assert scores.tolist() == [[25.0, 100.0, 225.0, 400.0]]
    assert gradients[0][0].flatten().tolist() == [50.0, 100.0, 150.0, 200.0]
    assert [block.built_graph for block in model.blocks] == [[], [], [True]]
    scores, gradients = resume(
        model, taps, outputs, [states], 2, lambda: model(x.repeat(2, 1, 1)), one, False
    )
    assert scores.tolist() == [[25.0, 100.0, 225.0, 400.0]] and gradients == []
    assert model.blocks[2].built_graph == [True, False]


class Shared(nn.Module):
    """One block called three times, on two inputs; y reads the states below too."""

    def __init__(self):
        super().__init__()
        self.embed = Scale(1.0)
        self.block = Scale(2.0, as_tuple=True)

    def forward(self, *inputs):
        y = 0
        for x in inputs:
            x = self.embed(x)
            for _ in range(3):
                y = y + x.sum((1, 2))
                x, _ = self.block(x)
            y = y + x.sum((1, 2)) ** 2
        return y


def test_a_module_of_several_layers_and_several_runs():
    model = Shared().eval()
    inputs = torch.full((1, 1, 1), 1.0), torch.full((1, 1, 1), 10.0)
    taps = [Tap(model.embed), Tap(model.block, 0, 3), Tap(model.block, 1, 3)]
    with recorded(model.embed, model.block) as outputs:
        model(*inputs)
    states = [torch.tensor([1.0, 2.0]).reshape(2, 1, 1), torch.tensor([0.0, 5.0]).reshape(2, 1, 1)]
    doubled = [x.repeat(2, 1, 1) for x in inputs]
    scores, ((first, second),) = resume(model, taps, outputs, states, 2, lambda: model(*doubled), one)
    # Of each run: h_0 + h_1 as they were (1 + 2, 10 + 20), h_2 as given, and (2 h_2)^2.
    assert scores.tolist() == [[3 + 1 + 4 + 30, 3 + 2 + 16 + 30 + 5 + 100]]
    # 1 + 8 h_2.
    assert first.flatten().tolist() == [9.0, 17.0] and second.flatten().tolist() == [1.0, 41.0]


def test_the_model_is_left_as_it_was():
    model = Toy().train()
    own = lambda x: 2 * x  # noqa: E731
    model.blocks[0].forward = own
    taps, outputs = traced(model, torch.ones(1, 1, 1), 1)

    def fail():
        raise RuntimeError("in the middle")

    for forward in (lambda: model(torch.ones(1, 1, 1)), fail):
        try:
            resume(model, taps, outputs, [torch.ones(1, 1, 1)], 1, forward, one)
        except RuntimeError as error:
            assert str(error) == "in the middle"
        assert model.blocks[0].forward is own
        assert "forward" not in vars(model.blocks[1])
        assert model.training and torch.is_grad_enabled()
        assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_scores_that_do_not_depend_on_the_layer_are_refused():
    model = Toy().eval()
    x = torch.ones(1, 1, 1)
    taps, outputs = traced(model, x, 1)
    with pytest.raises(ValueError, match="does not depend on layer 1"):
        resume(model, taps, outputs, [x], 1, lambda: model(x), lambda y: torch.ones(1, 1), True)
