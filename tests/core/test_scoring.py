import pytest
import torch

from allennlp_layer_saliency.core import scoring

# Three positions; the first is special. Row 2 gives nothing.
SHARES = torch.tensor([[[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
WEIGHTS = torch.tensor([[4.0, -3.0, 8.0]])
SPECIAL = torch.tensor([[True, False, False]])
MASK = torch.tensor([[True, True, False]])


def test_decoded_contributions_and_scores():
    contributions = scoring.decoded_contributions(WEIGHTS, SHARES)
    assert contributions[0].tolist() == [[2.0, 1.0, 1.0], [0.0, -3.0, 0.0], [0.0, 0.0, 0.0]]
    received = contributions.sum(1)
    assert scoring.token_scores(received, SPECIAL, "keep").tolist() == [[2.0, -2.0, 1.0]]
    assert scoring.token_scores(received, SPECIAL, "zero").tolist() == [[0.0, -2.0, 1.0]]


def test_projected_contributions():
    gradients = torch.tensor([[[1.0, 2.0], [0.0, -1.0], [5.0, 5.0]]])
    embeddings = torch.tensor([[[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]]])
    # <D_n, W_i>: row 0 is 3, 2, 6; row 1 is -1, 0, -3.
    contributions = scoring.projected_contributions(gradients, embeddings, SHARES)
    assert contributions[0].tolist() == [[1.5, 0.5, 1.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_lost_completes_the_sum():
    assert scoring.lost(WEIGHTS, SHARES).tolist() == [8.0]
    received = scoring.decoded_contributions(WEIGHTS, SHARES).sum()
    assert received.item() + 8.0 == WEIGHTS.sum().item()


def test_sources_are_the_largest_by_absolute_amount():
    contributions = scoring.decoded_contributions(WEIGHTS, SHARES)
    positions, amounts = scoring.sources(contributions, at_most=2)
    assert positions[0, 1].tolist() == [1, 0]
    assert amounts[0, 1].tolist() == [-3.0, 1.0]
    assert scoring.sources(contributions)[0].shape == (1, 3, 3)


def test_receiving_positions():
    assert scoring.receiving_positions(MASK, SPECIAL, "zero").tolist() == [[True, True, False]]
    assert scoring.receiving_positions(MASK, SPECIAL, "exclude").tolist() == [[False, True, False]]
    with pytest.raises(ValueError, match="special_tokens must be one of .*got 'drop'"):
        scoring.receiving_positions(MASK, SPECIAL, "drop")


def test_normalised():
    assert scoring.normalised([1.0, -3.0, 0.0]) == [0.25, 0.75, 0.0]
    assert scoring.normalised([0.0, 0.0]) == [0.0, 0.0]
    assert scoring.normalised([]) == []
    assert sum(scoring.normalised([1e-30, 2e-30])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "how, wanted",
    [("sum", [-1.0, 4.0, 0.0]), ("mean", [-0.5, 4.0, 0.0]), ("max", [-3.0, 4.0, 0.0])],
)
def test_words_take_what_their_pieces_do(how, wanted):
    # Four positions: word 0 has positions 1 and 2, which receive 2 and -3; word 1 has position 3; word 2
    # has none; position 0 belongs to no word.
    contributions = torch.tensor(
        [[[9.0, 2.0, 0.0, 0.0], [0.0, 0.0, -1.0, 4.0], [0.0, 0.0, -2.0, 0.0], [0.0] * 4]]
    )
    words = torch.tensor([[-1, 0, 0, 1]])
    of_words = scoring.of_words(contributions, words, 3, how)
    assert of_words.shape == (1, 4, 3)
    assert of_words.sum(1).squeeze(0).tolist() == wanted
    if how == "sum":
        assert of_words[0, :, 0].tolist() == [2.0, -1.0, -2.0, 0.0]


def test_an_unknown_word_aggregation_is_refused():
    with pytest.raises(ValueError, match="word_aggregation must be one of .*; got 'median'"):
        scoring.of_words(torch.zeros(1, 1, 1), torch.zeros(1, 1).long(), 1, "median")
