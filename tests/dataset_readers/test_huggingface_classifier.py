import pytest
from allennlp.common.checks import ConfigurationError
from transformers import AutoTokenizer

from allennlp_layer_saliency.dataset_readers import HuggingFaceClassifierReader


def test_tokens_are_the_tokenizers_own(roberta_folder):
    reader = HuggingFaceClassifierReader(roberta_folder)
    tokenizer = AutoTokenizer.from_pretrained(roberta_folder)
    text, second = "a  very bad film", "good"
    for texts in ((text,), (text, second)):
        tokens = reader.text_to_instance(*texts)["tokens"].tokens
        assert [token.text_id for token in tokens] == tokenizer(*texts)["input_ids"]
    tokens = reader.text_to_instance(text)["tokens"].tokens
    assert tokens[0].idx is None and tokens[-1].idx is None
    assert [text[t.idx : t.idx_end] for t in tokens[1:-1] if t.text != "Ġ"] == [
        "a",
        "very",
        "bad",
        "film",
    ]


def test_max_length_cuts_off(roberta_folder):
    reader = HuggingFaceClassifierReader(roberta_folder, max_length=5)
    tokens = reader.text_to_instance("a very bad film with bad actors")["tokens"].tokens
    assert [token.text for token in tokens] == ["<s>", "Ġa", "Ġvery", "Ġbad", "</s>"]


def test_what_is_cut_off_is_said_once(roberta_folder, caplog):
    reader = HuggingFaceClassifierReader(roberta_folder, max_length=5)
    for text in ("a very bad film", "a very bad film with bad actors", "so good that it hurts"):
        assert len(reader.text_to_instance(text)["tokens"].tokens) == 5
    assert [record.message for record in caplog.records if "cut off" in record.message] == [
        "a text of 6 word pieces is cut off to max_length, 5; later ones without a word"
    ]


@pytest.mark.parametrize("max_length", [2, 0, -1, True, "5"])
def test_a_max_length_without_room_is_refused(roberta_folder, max_length):
    with pytest.raises(ConfigurationError, match="max_length must be at least 3"):
        HuggingFaceClassifierReader(roberta_folder, max_length=max_length)


def test_a_text_that_is_no_string_is_refused(roberta_folder):
    reader = HuggingFaceClassifierReader(roberta_folder)
    for texts in ((["good", "film"],), ("good", 7), ({},)):
        with pytest.raises(ConfigurationError, match="a text must be a string; this one is"):
            reader.text_to_instance(*texts)
