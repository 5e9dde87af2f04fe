import math
from dataclasses import replace

import pytest
import torch

from allennlp_layer_saliency.core.coherence import coherence_sums, deepest_readable
from allennlp_layer_saliency.core.decoding import Decoder

# A head whose hidden states are the logits: V = K = 4.
IDENTITY = Decoder(logits=lambda h: h.clone(), vocabulary_size=4, hidden_size=4)
P = [[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.25, 0.05, 0.1, 0.6]]
HIDDEN_STATES = torch.tensor([P]).log() + 3.0
TOKEN_IDS = torch.tensor([[0, 3, 0]])
REAL = torch.ones(1, 3, dtype=torch.bool)
E = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])


def sums(compared=REAL, tau=1, **kwargs):
    arguments = {
        "decoder": IDENTITY,
        "hidden_states": HIDDEN_STATES,
        "token_ids": TOKEN_IDS,
        "mask": REAL,
        "embeddings": E,
        **kwargs,
    }
    return coherence_sums(compared=compared, tau=tau, **arguments)


def only(*positions):
    return torch.tensor([[n in positions for n in range(3)]])


def test_hand_computed():
    recovery, reciprocal, mass, similarity, entropy, count = sums(only(0))[0].tolist()
    # Piece 0 has the largest probability, .4; the input's pieces 0 and 3 have .4 + .1.
    assert (recovery, reciprocal, count) == (1.0, 1.0, 1.0)
    assert mass == pytest.approx(0.5)
    # .4 (1, 0) + .3 (0, 1) + .2 (1, 1) + .1 (-1, 0) = (.5, .5), beside (1, 0).
    assert similarity == pytest.approx(1 / math.sqrt(2))
    assert entropy == pytest.approx(-sum(p * math.log(p) for p in P[0]))
    # At the last position piece 0 comes second, after piece 3.
    assert sums(only(2))[0, :2].tolist() == [0.0, 0.5]
    assert sums(only(2), tau=2)[0, 0] == 1.0
    assert sums(only(2))[0, 2].item() == pytest.approx(0.85)


def test_positions_add_up():
    alone = [sums(only(n)) for n in range(3)]
    assert torch.allclose(sums(), sum(alone))
    assert torch.allclose(sums(chunk_elements=1), sums())
    assert sums(only()).tolist() == [[0.0] * 6]


def test_each_instance_has_its_own():
    both = sums(
        compared=torch.cat([REAL, only(1)]),
        hidden_states=torch.cat([HIDDEN_STATES, HIDDEN_STATES.flip(1)]),
        token_ids=torch.cat([TOKEN_IDS, torch.tensor([[3, 1, 2]])]),
        mask=torch.tensor([[True] * 3, [True, True, False]]),
    )
    assert torch.allclose(both[:1], sums())
    # Piece 1 has .2 at the middle position and rank 3; pieces 1 and 3 together have .6.
    assert both[1, :3].tolist() == pytest.approx([0.0, 1 / 3, 0.6])


def test_a_causal_head_speaks_of_the_next_position():
    # P_0 is compared with t_1 = 3, which comes last; P_1 with t_2 = 0, last too.
    head = replace(IDENTITY, causal=True)
    causal = sums(decoder=head)[0]
    assert causal[1].item() == pytest.approx(0.25 + 0.25) and causal[5] == 2
    assert sums(only(0), decoder=head)[0, 5] == 0


def test_a_causal_head_says_nothing_of_a_second_texts_first_piece():
    head = replace(IDENTITY, causal=True)
    # Texts of 1 and 2 pieces: only t_2 is spoken of, by P_1, where it comes last.
    found = sums(decoder=head, starts=[0, 1])[0]
    assert found[1].item() == pytest.approx(0.25) and found[5] == 1


def test_ties_go_to_the_lower_index():
    flat = torch.zeros(1, 3, 4)
    ranks = 1 / sums(only(0), hidden_states=flat)[0, 1], 1 / sums(only(1), hidden_states=flat)[0, 1]
    assert [rank.item() for rank in ranks] == pytest.approx([1.0, 4.0])
    assert sums(only(0), hidden_states=flat)[0, 4].item() == pytest.approx(math.log(4))


def test_pieces_beyond_the_heads_vocabulary_are_not_recovered():
    more = torch.cat([E, torch.tensor([[0.0, 1.0]])])
    ids = torch.tensor([[0, 4, 0]])
    found = sums(only(1), tau=4, token_ids=ids, embeddings=more)[0]
    assert found[:2].tolist() == [0.0, 0.0]
    assert found[2].item() == pytest.approx(0.1)
    # .1 (1, 0) + .2 (0, 1) + .3 (1, 1) + .4 (-1, 0) = (0, .5), beside (0, 1).
    assert found[3].item() == pytest.approx(1.0)


def test_a_random_head_is_at_chance():
    generator = torch.Generator().manual_seed(0)
    size, positions = 2_000, 3_000
    weight = torch.randn(8, size, generator=generator)
    head = Decoder(logits=lambda h: h @ weight, vocabulary_size=size, hidden_size=8)
    found = sums(
        compared=torch.ones(1, positions, dtype=torch.bool),
        decoder=head,
        hidden_states=torch.randn(1, positions, 8, generator=generator),
        token_ids=torch.randint(size, (1, positions), generator=generator),
        mask=torch.ones(1, positions, dtype=torch.bool),
        embeddings=weight.t(),
        tau=10,
    )[0]
    # 15 expected.
    assert found[0] / found[5] == pytest.approx(10 / size, abs=0.003)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="takes hidden states of size 4; the layer's have size 3"):
        sums(hidden_states=HIDDEN_STATES[..., :3])
    with pytest.raises(ValueError, match="NaN or infinite"):
        sums(hidden_states=HIDDEN_STATES * float("nan"))


def test_the_deepest_layer_that_can_be_read():
    assert deepest_readable([0.8, 1.0, 0.95, 0.81, 0.5, 0.9]) == 3
    assert deepest_readable([0.1, 0.05, 0.1]) == 0
    assert deepest_readable([0.2, 0.1, 0.2, 0.1]) == 2
    assert deepest_readable([0.0, 0.0]) == 0
    assert deepest_readable([0.5]) == 0
