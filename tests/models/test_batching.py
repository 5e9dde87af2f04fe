import logging

import pytest
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.interpreters import LayerSaliency
from allennlp_layer_saliency.interpreters.perturbation import PerturbedPredictions
from allennlp_layer_saliency.models import batching
from allennlp_layer_saliency.models.batching import TokenBudget
from tests.conftest import SENTENCES


def test_batches_hold_at_most_so_many_pieces():
    found = batching.batches([3, 10, 2, 5, 30], 12)
    assert found == [[2, 0], [3], [1], [4]]
    assert batching.batches([], 12) == []


def test_a_large_batch_does_not_grow_at_the_price_of_padding():
    lengths = [50, 10] * 4 + [10] * 20
    short = [i for i, length in enumerate(lengths) if length == 10]
    assert batching.batches(lengths, 2048) == [short, [0, 2, 4, 6]]
    # A small one does: 2 and 20 pieces are 40 with padding.
    assert batching.batches([20, 2], 2048) == [[1, 0]]
    # Of similar lengths, up to the limit.
    assert [len(batch) for batch in batching.batches([50, 51] * 40, 2048)] == [40, 40]


class Memory:
    """Work that runs out of memory as torch says it, and keeps a record."""

    def __init__(self, lengths, room):
        self.lengths, self.room, self.tried = lengths, room, []

    def __call__(self, chosen):
        pieces = len(chosen) * max(self.lengths[i] for i in chosen)
        self.tried.append(pieces)
        if pieces > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; ...)")
        return [self.lengths[i] for i in chosen]


@pytest.mark.parametrize("room", [10, 40, 100, 10**4])
def test_out_of_memory_halves_the_budget_and_goes_on(room, caplog):
    lengths = [7, 10, 2, 5, 9, 10, 10, 3, 10, 10, 8, 10]
    budget, memory = TokenBudget(), Memory(lengths, room)
    with caplog.at_level(logging.WARNING):
        results = list(budget.run(lengths, memory))
    # Each input once, whatever failed in between.
    assert sorted(i for chosen, _ in results for i in chosen) == list(range(len(lengths)))
    assert all(result == [lengths[i] for i in chosen] for chosen, result in results)
    failed = [pieces for pieces in memory.tried if pieces > room]
    assert [record.args for record in caplog.records] == [(n, n // 2) for n in failed]
    assert budget.pieces == (failed[-1] // 2 if failed else batching.MAX_PIECES)
    # The next inputs start from what is left.
    list(budget.run(lengths, memory))
    assert [pieces for pieces in memory.tried if pieces > room] == failed


def test_what_does_not_fit_alone_is_an_error():
    budget, memory = TokenBudget(), Memory([3, 30], 20)
    results = []
    with pytest.raises(ConfigurationError, match="for a single text of 30 word pieces") as error:
        for result in budget.run([3, 30], memory):
            results.append(result)
    assert "\n" not in str(error.value)
    assert results == [([0], [3])]


def test_copies_of_one_text_are_halved_too():
    """A path's points go through together, as many as the budget holds."""
    budget, copies = TokenBudget(), []

    def work(chosen):
        copies.append(max(1, budget.pieces // 100))
        if copies[-1] > 4:
            raise RuntimeError("CUDA out of memory.")

    assert [chosen for chosen, _ in budget.run([100], work, one_by_one=True, copies=True)] == [[0]]
    assert copies == [20, 10, 5, 2]


def test_other_errors_come_through():
    def work(chosen):
        raise RuntimeError("expected scalar type Float")

    with pytest.raises(RuntimeError, match="scalar type"):
        list(TokenBudget().run([1], work))


def out_of_memory_beyond(rows, model):
    """A hook under which the model has room for so many texts."""

    def hook(module, inputs):
        if len(inputs[0]) > rows:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    words = model.get_input_embeddings()
    return words.register_forward_pre_hook(hook)


def test_explanations_and_predictions_are_the_same(predictor):
    lines = [{"sentence": sentence} for sentence in SENTENCES]
    interpreter = LayerSaliency(predictor, layer=1)
    wanted = interpreter.saliency_interpret_batch_json(lines)
    texts = PerturbedPredictions(interpreter.texts)
    tokens = texts.tokens(predictor._json_to_instance(lines[1]))
    sets = [frozenset({token}) for token in tokens.tokens]
    log_probabilities = texts.predictions(tokens, sets).predictions[0]
    hook = out_of_memory_beyond(2, interpreter.texts.transformer)
    try:
        found = interpreter.saliency_interpret_batch_json(lines)
        assert interpreter.texts.budget.pieces < batching.MAX_PIECES
        interpreter.texts.budget.pieces = batching.MAX_PIECES
        again = texts.predictions(tokens, sets).predictions[0]
        assert interpreter.texts.budget.pieces < batching.MAX_PIECES
    finally:
        hook.remove()
    for got, expected in zip(found, wanted):
        got, expected = got["instance_1"], expected["instance_1"]
        assert got["signed_1"] == pytest.approx(expected["signed_1"], abs=1e-6)
    assert set(again) == set(sets)
    for taken, row in again.items():
        assert row == pytest.approx(log_probabilities[taken], abs=1e-6)


def test_one_line_names_what_does_not_fit(predictor):
    interpreter = LayerSaliency(predictor, layer=1)
    hook = out_of_memory_beyond(0, interpreter.texts.transformer)
    try:
        with pytest.raises(ConfigurationError, match="memory does not suffice for a single text"):
            interpreter.saliency_interpret_from_json({"sentence": SENTENCES[0]})
    finally:
        hook.remove()


def test_the_limits_themselves_are_allowed():
    assert batching.batches([128, 2], 2048) == [[1, 0]]  # 256 pieces with padding
    assert batching.batches([129, 2], 2048) == [[1], [0]]
    assert batching.batches([85, 85, 100], 2048) == [[0, 1, 2]]  # 30 of 300 are padding
    assert batching.batches([85, 84, 100], 2048) == [[1, 0], [2]]
    assert batching.batches([10, 10], 20) == [[0, 1]]
    assert batching.batches([10, 10], 19) == [[0], [1]]
