import pytest
import torch
from allennlp.modules.token_embedders import PretrainedTransformerEmbedder

from allennlp_layer_saliency.models.text_layout import TextLayout


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
    # The transformer read the second text first.
    assert layout.runs([other["token_ids"], TWO["token_ids"]]) == [1, 0]
    joined = layout.joined([torch.zeros(2, 5, 1), torch.ones(2, 3, 1)])
    assert joined[0].flatten().tolist() == [0.0] * 5 + [1.0] * 3


def test_back_to_the_texts():
    other = words_text([[101, 9, 102], [101, 9, 102]], [[[1, 1]], [[1, 1]]], [1, 1])
    layout = TextLayout.of(MODEL, None, [TWO, other])
    states = torch.arange(32.0).reshape(4, 8, 1)  # two copies of the batch
    others = [torch.full((2, 5, 1), -1.0), torch.full((2, 3, 1), -2.0)]
    first, second = layout.separated(states, others)
    # Padding keeps what was there.
    assert first.squeeze(-1).tolist() == [
        [0, 1, 2, 3, 4],
        [8, 9, 10, -1, -1],
        [16, 17, 18, 19, 20],
        [24, 25, 26, -1, -1],
    ]
    assert second.squeeze(-1)[3].tolist() == [29, 30, 31]
    real = layout.inputs([]).mask.repeat(2, 1)
    assert torch.equal(layout.joined([first, second])[real], states[real])


def test_folded_texts_there_and_back(roberta_folder):
    embedder = PretrainedTransformerEmbedder(roberta_folder, max_length=5)
    model = torch.nn.ModuleList([embedder])
    # Pieces 10 to 16 in three segments; then a text of one segment, and padding.
    text = {
        "token_ids": torch.tensor([[0, 10, 11, 12, 2, 0, 13, 14, 15, 2, 0, 16, 2], [0, 20, 2] + [1] * 10]),
        "mask": torch.arange(9) < torch.tensor([[9], [3]]),
        "segment_concat_mask": torch.arange(13) < torch.tensor([[13], [3]]),
    }
    layout = TextLayout.of(model, embedder.transformer_model, [text])
    inputs = layout.inputs([0, 2])
    assert inputs.token_ids[0].tolist() == [0, 10, 11, 12, 13, 14, 15, 16, 2]
    assert inputs.token_ids[1, :3].tolist() == [0, 20, 2]
    (given,) = (text.rows for text in layout.texts)
    assert given.tolist()[:3] == [[0, 10, 11, 12, 2], [0, 13, 14, 15, 2], [0, 16, 2, 0, 0]]
    joined = layout.joined([given.repeat(2, 1).unsqueeze(-1).float()])
    others = torch.full((6, 5, 1), -1.0)
    (rows,) = layout.separated(joined + 100, [others])
    # The special tokens between segments, and padding, are no positions of the text.
    assert rows[6:].squeeze(-1).tolist() == [
        [100, 110, 111, 112, -1],
        [-1, 113, 114, 115, -1],
        [-1, 116, 102, -1, -1],
        [100, 120, 102, -1, -1],
        [-1] * 5,
        [-1] * 5,
    ]
    real = inputs.mask.repeat(2, 1)
    assert torch.equal(layout.joined([rows])[real], joined[real] + 100)


def test_runs_on_other_texts_are_refused():
    layout = TextLayout.of(MODEL, None, [TWO])
    ids = TWO["token_ids"]
    with pytest.raises(ValueError, match="ran 2 times for 1 texts; only models that read each text once"):
        layout.runs([ids, ids])
    with pytest.raises(ValueError, match="not on these texts' word pieces as they are"):
        layout.runs([ids + 1])
    with pytest.raises(ValueError, match="only models that keep each position"):
        layout.joined([torch.zeros(2, 8, 1)])
