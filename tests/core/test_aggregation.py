import pytest
import torch

from allennlp_layer_saliency.core.aggregation import grad_cam, gradient_norm, gradient_x_input

# One instance, three positions of which the last is padding, hidden size 2.
HIDDEN_STATES = torch.tensor([[[1.0, 2.0], [-3.0, 1.0], [7.0, 7.0]]])
GRADIENTS = torch.tensor([[[3.0, -4.0], [1.0, 2.0], [100.0, 100.0]]])
MASK = torch.tensor([[True, True, False]])


def test_gradient_norm():
    assert gradient_norm(GRADIENTS, MASK).tolist() == [[5.0, pytest.approx(5**0.5), 0.0]]
    assert gradient_norm(GRADIENTS, MASK, p=1).tolist() == [[7.0, 3.0, 0.0]]
    with pytest.raises(ValueError, match="p = 1 and p = 2, not 3"):
        gradient_norm(GRADIENTS, MASK, p=3)


def test_gradient_x_input_keeps_its_sign():
    # 3 - 8 = -5 and -3 + 2 = -1
    assert gradient_x_input(HIDDEN_STATES, GRADIENTS, MASK).tolist() == [[-5.0, -1.0, 0.0]]


def test_grad_cam_averages_over_real_positions_only():
    # alpha = (2, -1) without the padding; 2 - 2 = 0 and -6 - 1 = -7
    assert grad_cam(HIDDEN_STATES, GRADIENTS, MASK, relu=False).tolist() == [[0.0, -7.0, 0.0]]
    assert grad_cam(-HIDDEN_STATES, GRADIENTS, MASK).tolist() == [[0.0, 7.0, 0.0]]
    assert grad_cam(HIDDEN_STATES, GRADIENTS, MASK).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("g", [gradient_x_input, grad_cam, lambda h, d, m: gradient_norm(d, m)])
def test_padding_changes_nothing(g):
    short = g(HIDDEN_STATES[:, :2], GRADIENTS[:, :2], MASK[:, :2])
    assert torch.equal(g(HIDDEN_STATES, GRADIENTS, MASK)[:, :2], short)
