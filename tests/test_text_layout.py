import pytest
import torch

from allennlp_layer_saliency.text_layout import TextLayout


def words_text(token_ids, offsets, words):
    """One text of words as the mismatched indexer lays it out; `words` of each instance are real."""
    token_ids = torch.tensor(token_ids)
    return {
        "token_ids": token_ids,
        "wordpiece_mask": token_ids != 0,
        "offsets": torch.tensor(offsets),
        "mask": torch.arange(len(offsets[0])) < torch.tensor(words).unsqueeze(1),
    }


TWO = words_text(
    [[101, 5, 6, 7, 102], [101, 8, 102, 0, 0]],
    # A word of two pieces, one of none, one of one; then a single word and padding.
    [[[1, 2], [-1, -1], [3, 3]], [[1, 1], [0, 0], [0, 0]]],
    [3, 1],
)
MODEL = torch.nn.Linear(1, 1)


def test_each_position_knows_its_word():
    inputs = TextLayout.of(MODEL, None, [TWO]).inputs([101, 102])
    assert inputs.words.tolist() == [[-1, 0, 0, 2, -1], [-1, 0, -1, -1, -1]]
    assert inputs.token_count == 3
    assert inputs.special.tolist() == [
        [True, False, False, False, True],
        [True, False, True] + [False] * 2,
    ]


def test_a_word_at_the_first_position_is_not_padding():
    """Where the tokenizer puts no special token first, offsets (0, 0) are a word's too."""
    text = words_text([[5, 6], [7, 0]], [[[0, 0], [1, 1]], [[0, 0], [0, 0]]], [2, 1])
    assert TextLayout.of(MODEL, None, [text]).inputs([]).words.tolist() == [[0, 1], [0, -1]]


def test_texts_stand_one_after_the_other():
    other = words_text([[101, 9, 102], [101, 9, 102]], [[[1, 1]], [[1, 1]]], [1, 1])
    layout = TextLayout.of(MODEL, None, [TWO, other])
    inputs = layout.inputs([101, 102])
    assert inputs.token_ids[0].tolist() == [101, 5, 6, 7, 102, 101, 9, 102]
    assert inputs.words[1].tolist() == [-1, 0, -1, -1, -1, -1, 3, -1]
    assert inputs.token_count == 4
    states = [torch.ones(2, 3, 1), torch.zeros(2, 5, 1)]
    # The transformer read the second text first.
    joined = layout.joined(states, [other["token_ids"], TWO["token_ids"]])
    assert joined[0].flatten().tolist() == [0.0] * 5 + [1.0] * 3


def test_runs_on_other_texts_are_refused():
    layout = TextLayout.of(MODEL, None, [TWO])
    ids, states = TWO["token_ids"], torch.zeros(2, 5, 1)
    with pytest.raises(
        ValueError, match="ran 2 times for 1 texts; only models that read each text once"
    ):
        layout.joined([states, states], [ids, ids])
    with pytest.raises(ValueError, match="not on these texts' word pieces as they are"):
        layout.joined([states], [ids + 1])
    with pytest.raises(ValueError, match="not on these texts' word pieces as they are"):
        layout.joined([torch.zeros(2, 8, 1)], [ids])
