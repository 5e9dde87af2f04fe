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
