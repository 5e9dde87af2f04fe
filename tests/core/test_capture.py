import random

import pytest
import torch
from torch import nn

from allennlp_layer_saliency.core.capture import Tap, capture, preserved, recorded
from tests.conftest import hook_count


class Toy(nn.Module):
    """h_0 = w_0 x, h_1 = w_1 h_0, h_2 = w_2 h_1, all elementwise; y = sum of h_2 squared."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Scale(2.0), Scale(3.0), Scale(5.0, as_tuple=True)])
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        for block in self.blocks:
            out = block(x)
            x = out[0] if isinstance(out, tuple) else out
        return (self.dropout(x) ** 2).flatten(1).sum(1)


class Scale(nn.Module):
    def __init__(self, factor, as_tuple=False):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.as_tuple = as_tuple
        self.built_graph = []
        self.wanted_gradient = []

    def forward(self, x):
        y = self.factor * x
        self.built_graph.append(torch.is_grad_enabled())
        self.wanted_gradient.append(self.factor.requires_grad)
        return (y, "attention") if self.as_tuple else y


def taps(model, *layers):
    return {layer: Tap(model.blocks[layer]) for layer in layers}


def run(model, *layers, x=None):
    x = torch.ones(1, 1, 1) if x is None else x
    return capture(model, taps(model, *layers), lambda: model(x), one)


def one(y):
    """A single explained score of each instance."""
    return y.unsqueeze(0)


def test_hand_computed_states_and_gradients():
    captured = run(Toy().eval(), 0, 1, 2)
    # h = 2, 6, 30; y = 900; dy/dh_2 = 60, dy/dh_1 = 300, dy/dh_0 = 900.
    assert [captured.hidden_states[layer][0].item() for layer in (0, 1, 2)] == [2.0, 6.0, 30.0]
    assert [captured.gradients[0][layer][0].item() for layer in (0, 1, 2)] == [900.0, 300.0, 60.0]
    assert captured.scores.tolist() == [[900.0]]


def test_each_instance_gets_its_own_gradient():
    captured = run(Toy().eval(), 1, x=torch.tensor([[[1.0]], [[2.0]], [[-1.0]]]))
    assert captured.gradients[0][1][0].flatten().tolist() == [300.0, 600.0, -300.0]


def test_no_graph_below_the_lowest_layer():
    model = Toy().eval()
    run(model, 1)
    assert [block.built_graph for block in model.blocks] == [[False], [False], [True]]
    assert torch.is_grad_enabled()


def test_parameters_want_no_gradient_meanwhile():
    """Or autograd would save activations for them."""
    model = Toy().eval()
    run(model, 0)
    assert [block.wanted_gradient for block in model.blocks] == [[False], [False], [False]]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_model_is_left_as_it_was():
    model = Toy().train()
    model.blocks[0].eval()
    model.blocks[1].factor.requires_grad_(False)
    before = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    assert run(model, 1).scores.tolist() == [[900.0]]  # no dropout: evaluation mode during the pass
    assert (
        [m.training for m in model.modules()],
        [p.requires_grad for p in model.parameters()],
    ) == before
    assert all(p.grad is None for p in model.parameters())
    assert hook_count(model) == 0


def test_and_also_after_an_exception():
    model = Toy().train()
    before = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]

    def broken(_):
        raise RuntimeError("in the middle")

    for forward, score in (
        (lambda: broken(0), one),
        (lambda: model(torch.ones(1, 1, 1)), broken),
    ):
        with pytest.raises(RuntimeError, match="in the middle"):
            capture(model, taps(model, 0, 2), forward, score)
        after = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
        assert after == before
        assert hook_count(model) == 0
        assert torch.is_grad_enabled()


def test_works_without_gradient_mode_and_in_inference_mode():
    model, x = Toy().eval(), torch.ones(1, 1, 1)
    with torch.no_grad():
        assert run(model, 1, x=x).gradients[0][1][0].item() == 300.0
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert run(model, 1, x=x).gradients[0][1][0].item() == 300.0
        assert torch.is_inference_mode_enabled()


def test_the_random_state_is_not_touched():
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    run(Toy().train(), 0, 1)
    assert torch.equal(torch.rand(2), wanted)


class Shared(nn.Module):
    """One module called three times."""

    def __init__(self):
        super().__init__()
        self.block = Scale(2.0)

    def forward(self, x):
        for _ in range(3):
            x = self.block(x)
        return (x**2).flatten(1).sum(1)


def test_a_module_that_is_called_once_per_layer():
    model = Shared().eval()
    shared = {layer: Tap(model.block, call=layer, calls=3) for layer in (0, 2)}
    captured = capture(model, shared, lambda: model(torch.ones(1, 1, 1)), one)
    # h = 2, (4,) 8; y = 64; dy/dh_2 = 16, dy/dh_0 = 64.
    assert (captured.hidden_states[0][0].item(), captured.hidden_states[2][0].item()) == (2.0, 8.0)
    assert (captured.gradients[0][0][0].item(), captured.gradients[0][2][0].item()) == (64.0, 16.0)


def test_a_model_that_runs_its_layers_once_for_each_text():
    model = Toy().eval()
    first, second = torch.ones(1, 1, 1), 2 * torch.ones(1, 2, 1)
    captured = capture(model, taps(model, 0, 1), lambda: model(first) * model(second), one, model.blocks[0])
    # h_1 = 6 and (12, 12); y_1 = 900 and y_2 = 7200; y = y_1 y_2, dy_1/dh_1 = 300, dy_2/dh_1 = 600.
    assert [h.flatten().tolist() for h in captured.hidden_states[1]] == [[6.0], [12.0, 12.0]]
    assert captured.gradients[0][1][0].item() == 300.0 * 7200.0
    assert captured.gradients[0][1][1].flatten().tolist() == [600.0 * 900.0] * 2
    assert torch.equal(captured.token_ids[0], first) and torch.equal(captured.token_ids[1], second)
    assert hook_count(model) == 0


def test_several_scores_from_one_forward_pass():
    model = Toy().eval()
    captured = capture(
        model,
        taps(model, 1),
        lambda: model(torch.tensor([[[1.0]], [[2.0]]])),
        lambda y: torch.stack([y, -2 * y, y * torch.tensor([0.0, 1.0])]),
    )
    assert captured.scores.tolist() == [[900.0, 3600.0], [-1800.0, -7200.0], [0.0, 3600.0]]
    gradients = [of_target[1][0].flatten().tolist() for of_target in captured.gradients]
    assert gradients == [[300.0, 600.0], [-600.0, -1200.0], [0.0, 600.0]]
    assert len(model.blocks[1].built_graph) == 1


def test_no_score_at_all():
    model = Toy().eval()
    captured = capture(model, taps(model, 1), lambda: model(torch.ones(2, 1, 1)), lambda y: y.new_zeros(0, 2))
    assert captured.gradients == [] and captured.scores.shape == (0, 2)


def test_time_major_states_are_given_batch_major():
    model = Toy().eval()
    x = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]])
    tap = {0: Tap(model.blocks[0], time_major=True)}
    captured = capture(model, tap, lambda: model(x), lambda y: y.sum().expand(1, 2), model.blocks[0])
    assert captured.hidden_states[0][0].squeeze(-1).tolist() == [[2.0, 6.0, 10.0], [4.0, 8.0, 12.0]]
    assert captured.gradients[0][0][0].shape == (2, 3, 1)
    assert captured.token_ids[0].shape == (2, 3, 1)


def test_recorded_lists_outputs_in_order():
    model = Toy().eval()
    with recorded(model.blocks[1], model.blocks[0]) as outputs:
        model(torch.ones(1, 1, 1))
    assert [(module, output.item()) for module, output in outputs] == [
        (model.blocks[0], 2.0),
        (model.blocks[1], 6.0),
    ]
    assert hook_count(model) == 0


def test_layers_that_do_not_run_or_do_not_matter_are_refused():
    model = Toy().eval()
    unused = Tap(nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"layers \[7\] did not run"):
        capture(model, {**taps(model, 1), 7: unused}, lambda: model(torch.ones(1, 1, 1)), one)
    with pytest.raises(ValueError, match="does not depend on layer 1"):
        capture(model, taps(model, 1), lambda: model(torch.ones(1, 1, 1)), lambda y: torch.zeros(1, 1))


def test_preserved_keeps_new_hooks_that_are_the_models_own():
    model = Toy()

    def own(module, inputs, output):
        return None

    with preserved(model, lambda hook: hook is own):
        model.blocks[0].register_forward_hook(own)
        model.blocks[0].register_forward_hook(lambda *_: None)
    assert list(model.blocks[0]._forward_hooks.values()) == [own]


def test_preserved_undoes_what_others_leave_behind():
    model = Toy().train()
    model.blocks[0].factor.requires_grad_(False)
    own = model.blocks[0].register_forward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="left a mess"):
        with preserved(model):
            model.eval()
            for parameter in model.parameters():
                parameter.requires_grad_(True)
            model.blocks[1].register_forward_hook(lambda *_: None)
            model(torch.ones(1, 1, 1)).sum().backward()
            raise RuntimeError("left a mess")
    assert [len(b._forward_hooks) for b in model.blocks] == [1, 0, 0]
    assert all(m.training for m in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [False, True, True]
    assert all(p.grad is None for p in model.parameters())
    own.remove()
    assert hook_count(model) == 0


def test_random_numbers_go_on_as_if_nothing_had_run():
    model = Toy()

    def forward():
        random.random()
        torch.rand(3)
        return model(torch.ones(1, 1, 1))

    random.seed(5)
    torch.manual_seed(5)
    wanted = random.random(), torch.rand(2).tolist()
    random.seed(5)
    torch.manual_seed(5)
    capture(model, taps(model, 1), forward, one)
    assert (random.random(), torch.rand(2).tolist()) == wanted
