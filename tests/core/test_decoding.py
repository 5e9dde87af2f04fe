import math

import pytest
import torch

from allennlp_layer_saliency.core import decoding
from allennlp_layer_saliency.core.decoding import Decoder, decode, top_ranked

# A head whose hidden states are the logits: V = K = 4. Probabilities .4, .3, .2, .1 and so on.
IDENTITY = Decoder(logits=lambda h: h.clone(), vocabulary_size=4, hidden_size=4)
P = [[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.25, 0.05, 0.1, 0.6]]
HIDDEN_STATES = torch.tensor([P]).log() + 3.0
TOKEN_IDS = torch.tensor([[0, 3, 0]])
REAL = torch.ones(1, 3, dtype=torch.bool)

WEIGHTS = torch.tensor([[1.0, -2.0, 10.0]])


def places(mask):
    return mask.nonzero(as_tuple=True)


def run(token_ids=TOKEN_IDS, weights=WEIGHTS, decoded=None, receiving=REAL, **kwargs):
    decoded = places(REAL) if decoded is None else decoded
    return decode(IDENTITY, HIDDEN_STATES, weights, token_ids, decoded=decoded, receiving=receiving, **kwargs)


def shares(**kwargs):
    return run(**kwargs).shares[0].tolist()


def row(*values):
    return pytest.approx(list(values), abs=1e-6)


def test_normalised_over_the_input():
    # Pieces 0 (twice) and 3 occur. Row 0: .4 / .5 and .1 / .5; piece 0's share is split in two.
    assert shares(tau=None) == [
        row(0.4, 0.2, 0.4),
        row(0.1, 0.8, 0.1),
        row(0.25 / 0.85 / 2, 0.6 / 0.85, 0.25 / 0.85 / 2),
    ]


def test_probabilities_over_the_vocabulary():
    assert shares(tau=None, normalise="vocabulary") == [
        row(0.2, 0.1, 0.2),
        row(0.05, 0.4, 0.05),
        row(0.125, 0.6, 0.125),
    ]


def test_only_the_top_ranked_items_contribute():
    # Row 0's best two are 0 and 1, row 1's 3 and 2, row 2's 3 and 0.
    assert shares(tau=2) == [
        row(0.5, 0.0, 0.5),
        row(0.0, 1.0, 0.0),
        row(0.25 / 0.85 / 2, 0.6 / 0.85, 0.25 / 0.85 / 2),
    ]
    assert shares(tau=1, normalise="vocabulary") == [
        row(0.2, 0, 0.2),
        row(0, 0.4, 0),
        row(0, 0.6, 0),
    ]


def test_a_row_without_any_input_piece_gives_nothing():
    assert shares(token_ids=torch.tensor([[1, 2, 1]]), tau=1) == [row(0, 0, 0)] * 3


def test_columns_that_may_not_receive_leave_the_rows_sum():
    receiving = torch.tensor([[True, False, True]])
    assert shares(receiving=receiving, tau=None) == [row(0.5, 0, 0.5)] * 3


def test_pieces_beyond_the_heads_vocabulary_receive_nothing():
    assert shares(token_ids=torch.tensor([[0, 9, 0]]), tau=None) == [row(0.5, 0, 0.5)] * 3


def test_positions_that_are_not_decoded_are_zero():
    decoded = torch.tensor([[True, False, True]])
    result = run(decoded=places(decoded), tau=None, top_k=2)
    assert result.shares[0, 1].tolist() == [0, 0, 0]
    assert result.top_probabilities[0, 1].tolist() == [0, 0]
    assert result.vocabulary[0].tolist() == row(*[1.0 * a + 10.0 * b for a, b in zip(P[0], P[2])])


def test_vocabulary_sums_weights_over_the_whole_vocabulary():
    wanted = [1.0 * a - 2.0 * b + 10.0 * c for a, b, c in zip(*P)]
    assert run(tau=1).vocabulary[0].tolist() == row(*wanted)


def test_top_items_and_their_probabilities():
    result = run(top_k=2)
    assert result.top_ids[0].tolist() == [[0, 1], [3, 2], [3, 0]]
    assert result.top_probabilities[0].tolist() == [row(0.4, 0.3), row(0.4, 0.3), row(0.6, 0.25)]


def test_small_probabilities_do_not_underflow():
    hidden_states = torch.tensor([[[0.0, 500.0, -300.0, 0.0]]])
    result = decode(
        IDENTITY,
        hidden_states,
        torch.ones(1, 1),
        torch.tensor([[2]]),
        decoded=places(REAL[:, :1]),
        receiving=REAL[:, :1],
        tau=None,
    )
    assert result.shares.tolist() == [[[1.0]]]


@pytest.mark.parametrize("normalise", ["input", "vocabulary"])
@pytest.mark.parametrize("tau", [1, 3, None])
def test_chunks_and_batches_change_nothing(normalise, tau):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, 6, generator=generator)
    head = Decoder(logits=lambda h: h @ weight.t(), vocabulary_size=50, hidden_size=6)
    hidden_states = torch.randn(4, 7, 6, generator=generator)
    token_ids = torch.randint(0, 12, (4, 7), generator=generator)
    weights = torch.randn(4, 7, generator=generator)
    mask = torch.arange(7) < torch.tensor([[7], [3], [1], [5]])

    def at(rows, length, **kwargs):
        return decode(
            head,
            hidden_states[rows, :length],
            weights[rows, :length],
            token_ids[rows, :length],
            decoded=places(mask[rows, :length]),
            receiving=mask[rows, :length],
            tau=tau,
            normalise=normalise,
            top_k=3,
            **kwargs,
        )

    whole = at(slice(0, 4), 7)
    for chunk in (1, 50, 149, 10**9):
        chunked = at(slice(0, 4), 7, chunk_elements=chunk)
        for name in ("shares", "top_probabilities", "vocabulary"):
            assert torch.allclose(getattr(chunked, name), getattr(whole, name), atol=1e-6)
        assert torch.equal(chunked.top_ids, whole.top_ids)
    for i, length in enumerate((7, 3, 1, 5)):
        single = at(slice(i, i + 1), length)
        assert torch.allclose(single.shares[0], whole.shares[i, :length, :length], atol=1e-6)
        assert torch.allclose(single.vocabulary[0], whole.vocabulary[i], atol=1e-5)


def test_ties_go_to_the_lower_index():
    values = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 1.0, 2.0], [3.0, 2.0, 1.0, 0.0]])
    assert top_ranked(values, 2).tolist() == [[0, 1], [1, 3], [0, 1]]
    assert top_ranked(values, 4).tolist() == [[0, 1, 2, 3], [1, 3, 2, 0], [0, 1, 2, 3]]
    wide = torch.zeros(1, 1000)
    assert top_ranked(wide, 5).tolist() == [[0, 1, 2, 3, 4]]
    flat = decode(
        IDENTITY,
        torch.zeros(1, 2, 4),
        torch.ones(1, 2),
        torch.tensor([[1, 2]]),
        decoded=places(REAL[:, :2]),
        receiving=REAL[:, :2],
        tau=2,
    )
    # All four are equally likely: 0 and 1 are the top two, and of these only 1 occurs.
    assert flat.shares[0].tolist() == [[1.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize("asked", [True, False])
def test_top_ranked_against_a_plain_sort(monkeypatch, asked):
    """As on a CPU, which asks whether there are ties, and as on a GPU, which does not."""
    if not asked:
        monkeypatch.setattr(decoding, "_order_ties", lambda tied: True)
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(-3, 4, (50, 30), generator=generator).float()
    values[:25] += torch.randn(25, 30, generator=generator)
    values[40:, ::2] = -math.inf
    columns = torch.randint(0, 30, (50, 7), generator=generator)
    for k in (1, 4, 20, 29):
        ranked = [sorted(range(30), key=lambda i: (-row[i], i))[:k] for row in values.tolist()]
        assert top_ranked(values, k).tolist() == ranked
        among = [[i in top for i in row] for row, top in zip(columns.tolist(), ranked)]
        assert decoding._among_top_ranked(values, columns, k).tolist() == among
    assert sorted(top_ranked(values, 30)[0].tolist()) == list(range(30))


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="tau must be at least 1, or null.*got 0"):
        run(tau=0)
    with pytest.raises(ValueError, match="normalise must be one of .*got 'rows'"):
        run(normalise="rows")
    with pytest.raises(ValueError, match="hidden states of size 4; the layer's have size 3"):
        decode(
            IDENTITY,
            HIDDEN_STATES[..., :3],
            WEIGHTS,
            TOKEN_IDS,
            decoded=places(REAL),
            receiving=REAL,
        )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_head_that_gives_no_numbers_shows(bad, weight):
    broken = Decoder(logits=lambda h: h * bad, vocabulary_size=4, hidden_size=4)
    weights = WEIGHTS * weight
    found = decode(broken, HIDDEN_STATES, weights, TOKEN_IDS, decoded=places(REAL), receiving=REAL)
    assert found.vocabulary.isnan().all()


def test_several_scores_are_decoded_as_each_alone():
    other = torch.tensor([[0.5, 3.0, -1.0]])
    together = run(weights=torch.stack([WEIGHTS, other]), tau=None)
    assert together.vocabulary.shape == (2, 1, 4)
    for weights, vocabulary in zip((WEIGHTS, other), together.vocabulary):
        alone = run(weights=weights, tau=None)
        assert torch.allclose(vocabulary, alone.vocabulary)
        assert torch.equal(together.shares, alone.shares)
