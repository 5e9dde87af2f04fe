import math

import numpy
import pytest
import torch

from allennlp_layer_saliency.core.decoding import Decoder
from allennlp_layer_saliency.core.translators import Positions, Translator, fit, loss, ridge

SIZE, VOCABULARY = 6, 20


@pytest.fixture
def embeddings():
    drawn = torch.randn(VOCABULARY, SIZE, generator=torch.Generator().manual_seed(0))
    # Of one length, so that each is nearest to itself.
    return 4 * torch.nn.functional.normalize(drawn)


@pytest.fixture
def decoder(embeddings):
    return Decoder(lambda states: states @ embeddings.t(), VOCABULARY, SIZE, embeddings)


def drawn(embeddings, count, seed, weight, noise=0.0):
    """States of which an affine map makes the pieces' embeddings again."""
    generator = torch.Generator().manual_seed(seed)
    pieces = torch.randint(VOCABULARY, (count,), generator=generator)
    states = (embeddings[pieces] - 1) @ torch.linalg.inv(weight).t()
    return Positions(states + noise * torch.randn(count, SIZE, generator=generator), pieces)


def mixed():
    return torch.eye(SIZE) + 0.6 * torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(7))


def test_ridge_by_hand():
    # Of one dimension: centred states -1, 1; centred targets -2, 2; A = 4 / (2 + λ 2).
    found = ridge(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]]), penalty=0.5)
    assert found.weight.item() == pytest.approx(4 / 3) and found.bias.item() == pytest.approx(3 - 4 / 3)


def test_ridge_is_least_squares(embeddings):
    at = drawn(embeddings, 50, 1, mixed(), noise=0.1)
    found = ridge(at.states, embeddings[at.pieces], penalty=1e-9)
    design = numpy.hstack([at.states.numpy(), numpy.ones((50, 1))])
    wanted, *_ = numpy.linalg.lstsq(design, embeddings[at.pieces].numpy(), rcond=None)
    assert found.weight.numpy() == pytest.approx(wanted[:-1].T, abs=1e-3)
    assert found.bias.numpy() == pytest.approx(wanted[-1], abs=1e-3)
    # States that are all the same have no direction.
    same = ridge(torch.ones(5, SIZE), embeddings[:5])
    assert torch.isfinite(same.weight).all()


def test_loss_by_hand(decoder, embeddings):
    states, pretrained = embeddings[:2] * 0.1, embeddings[2:4] * 0.1
    at = Positions(states, torch.tensor([4, 5]), pretrained)
    identity = Translator.identity(SIZE)
    for share in (0.0, 0.3, 1.0):
        wanted = []
        for state, piece, target in zip(states, at.pieces, pretrained):
            logits = [float(state @ e) for e in embeddings]
            total = math.log(sum(map(math.exp, logits)))
            log_p = [logit - total for logit in logits]
            of_target = [float(target @ e) for e in embeddings]
            total = sum(map(math.exp, of_target))
            cross = -sum(math.exp(t) / total * p for t, p in zip(of_target, log_p))
            wanted.append((1 - share) * -log_p[piece] + share * cross)
        assert loss(decoder, identity, at, share).tolist() == pytest.approx(wanted, rel=1e-4)


def fitted(decoder, embeddings, seed=0, **settings):
    weight = mixed()
    train, held_out = (drawn(embeddings, n, s, weight, noise=0.05) for n, s in ((600, 1), (100, 2)))
    found = fit(decoder, train, held_out, embeddings[train.pieces], steps=100, seed=seed, **settings)
    return found, held_out


def test_a_fitted_head_names_the_pieces(decoder, embeddings):
    found, held_out = fitted(decoder, embeddings)

    def right(translator):
        return (
            (decoder.logits(translator.translated(held_out.states)).argmax(-1) == held_out.pieces)
            .float()
            .mean()
        )

    assert right(Translator.identity(SIZE)) < 0.8 < 0.95 < right(found.translator)
    # The losses are of held-out positions; the map is that of the smallest.
    identity = loss(decoder, Translator.identity(SIZE), held_out, 0).mean()
    assert found.losses[0] == pytest.approx(float(identity), rel=1e-5)
    assert min(found.losses) == pytest.approx(
        float(loss(decoder, found.translator, held_out, 0).mean()), rel=1e-5
    )
    assert found.losses[1] <= found.losses[0]


def test_it_starts_from_the_best_factor(embeddings):
    # A head that makes too little of its own embeddings, in front of which 4 is the best of the factors.
    weak = embeddings / 8
    decoder = Decoder(lambda states: states @ weak.t(), VOCABULARY, SIZE, weak)
    train, held_out = (drawn(embeddings, n, seed, mixed(), noise=0.5) for n, seed in ((400, 1), (80, 2)))
    start = ridge(train.states, weak[train.pieces])
    of_factors = [
        float(
            torch.nn.functional.cross_entropy(
                factor * start.translated(held_out.states) @ weak.t(), held_out.pieces
            )
        )
        for factor in (1, 2, 4, 8)
    ]
    found = fit(decoder, train, held_out, weak[train.pieces], steps=1)
    assert found.losses[1] == pytest.approx(min(of_factors), rel=1e-4)
    assert found.losses[1] < 0.9 * of_factors[0]


def test_the_seed_decides(decoder, embeddings):
    first, again, other = (fitted(decoder, embeddings, seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first.translator.weight, again.translator.weight)
    assert not torch.equal(first.translator.weight, other.translator.weight)


def test_it_is_never_worse_than_the_base_head(decoder, embeddings):
    generator = torch.Generator().manual_seed(0)
    # States that say nothing of the pieces.
    train, held_out = (
        Positions(
            torch.randn(n, SIZE, generator=generator), torch.randint(VOCABULARY, (n,), generator=generator)
        )
        for n in (300, 60)
    )
    progress = []
    found = fit(decoder, train, held_out, embeddings[train.pieces], steps=400, progress=progress.append)
    assert min(found.losses) <= found.losses[0]
    assert sum(progress) == 400 and len(progress) < 400 / 20 + 1  # stopped early


def test_to_the_pretrained_distribution(decoder, embeddings):
    weight = mixed()
    train, held_out = (drawn(embeddings, n, s, weight)._replace() for n, s in ((600, 1), (100, 2)))
    train, held_out = (each._replace(pretrained=embeddings[each.pieces] * 0.2) for each in (train, held_out))
    found = fit(decoder, train, held_out, embeddings[train.pieces], share=1.0, steps=200)
    wanted = decoder.logits(held_out.pretrained).softmax(-1)
    got = decoder.logits(found.translator.translated(held_out.states)).softmax(-1)
    before = decoder.logits(held_out.states).softmax(-1)
    assert (got - wanted).abs().sum(-1).mean() < 0.3 * (before - wanted).abs().sum(-1).mean()


def test_a_head_without_numbers_is_refused(embeddings):
    decoder = Decoder(lambda states: states @ embeddings.t() * float("nan"), VOCABULARY, SIZE)
    at = drawn(embeddings, 10, 1, mixed())
    with pytest.raises(ValueError, match="NaN or infinite logits"):
        fit(decoder, at, at, embeddings[at.pieces])


def test_each_layer_has_its_own(embeddings):
    decoder = Decoder(
        lambda states: states @ embeddings.t(),
        VOCABULARY,
        SIZE,
        translator_of=lambda layer: Translator(torch.eye(SIZE) * layer, torch.ones(SIZE)).translated,
    )
    states = torch.randn(3, SIZE)
    for layer in (0, 2):
        wanted = (layer * states + 1) @ embeddings.t()
        torch.testing.assert_close(decoder.at(layer).logits(states), wanted)
        assert decoder.at(layer).at(5).translator_of is None
