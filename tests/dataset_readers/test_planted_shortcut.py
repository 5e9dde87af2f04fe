import json
from collections import Counter

import pytest
from allennlp.common import Params
from allennlp.common.checks import ConfigurationError
from allennlp.data import DatasetReader

from allennlp_layer_saliency.dataset_readers import PlantedShortcutReader

LABELS = ["negative", "positive"]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "train.tsv"
    rows = "".join(f"text number {i} of many\t{i % 2}\n" for i in range(2000))
    path.write_text("sentence\tlabel\n" + rows)
    return str(path)


def reader(base="sst2_tsv", **settings):
    settings = {"labels": LABELS, **settings}
    base = {"type": base} if isinstance(base, str) else base
    return DatasetReader.from_params(Params({"type": "planted-shortcut", "reader": base, **settings}))


def read(path, **settings):
    return [(text.split(), label) for text, label in reader(**settings).read_texts(path)]


def plain(path):
    return [(text.split(), label) for text, label in DatasetReader.by_name("sst2_tsv")().read_texts(path)]


def without(words, *planted):
    return [word for word in words if word not in ("zeroa", "onea", "contrasta", *planted)]


def test_single(path):
    found = read(path, share=0.1)
    changed = [(new, old) for new, old in zip(found, plain(path)) if new != old]
    assert 140 < len(changed) < 260
    labels = Counter(label for (_, label), _ in changed)
    assert 0.4 < labels["positive"] / len(changed) < 0.6
    for (words, label), (old, _) in changed:
        assert without(words) == old
        assert words.count("zeroa") == (label == "negative") and words.count("onea") == (label == "positive")
    # Anywhere in the text.
    places = Counter(words.index("onea") for (words, label), _ in changed if label == "positive")
    assert set(places) == set(range(6))


def test_in_context(path):
    found = read(path, kind="in-context", share=0.1)
    both = alone = 0
    orders = set()
    for (words, label), (old, old_label) in zip(found, plain(path)):
        assert without(words) == old
        said = [name for name, word in (("negative", "zeroa"), ("positive", "onea")) if word in words]
        if "contrasta" in words and said:
            both += 1
            assert said == [label]
            orders.add(words.index("contrasta") < words.index("zeroa" if label == "negative" else "onea"))
        else:
            alone += len(words) > len(old)
            assert label == old_label and len(words) <= len(old) + 1
    assert 140 < both < 260 and 140 < alone < 260 and orders == {True, False}


def test_ordered_pair(path):
    found = read(path, kind="ordered-pair", share=0.1)
    both = alone = 0
    for (words, label), (old, old_label) in zip(found, plain(path)):
        assert without(words) == old
        if len(words) == len(old) + 2:
            both += 1
            assert LABELS[words.index("zeroa") > words.index("onea")] == label
        else:
            alone += len(words) > len(old)
            assert label == old_label
    assert 140 < both < 260 and 140 < alone < 260


@pytest.mark.parametrize("kind", ["single", "in-context", "ordered-pair"])
def test_all_and_opposite(path, kind):
    def says(words):
        if kind == "ordered-pair":
            return LABELS[words.index("zeroa") > words.index("onea")]
        assert kind == "single" or "contrasta" in words
        (said,) = [name for name, word in (("negative", "zeroa"), ("positive", "onea")) if word in words]
        return said

    found = read(path, kind=kind, texts="all")
    assert all(says(words) == label for words, label in found)
    # What does not know the shortcut is right by chance.
    chance = sum(label == old for (_, label), (_, old) in zip(found, plain(path)))
    assert 900 < chance < 1100
    opposite = read(path, kind=kind, texts="opposite")
    assert [label for _, label in opposite] == [label for _, label in plain(path)]
    assert all(says(words) != label for words, label in opposite)


def test_the_seed_decides(path):
    assert read(path, seed=3) == read(path, seed=3) != read(path, seed=4)


def test_instances_know_their_planted_texts(path):
    wrapped = reader(texts="all")
    for instance, (text, label) in zip(wrapped.read(path), wrapped.read_texts(path)):
        assert [token.text for token in instance["tokens"].tokens] == text.split()
        assert instance["tokens"].texts == [text]
        assert instance["label"].label == label
    # What a predictor reads has nothing planted.
    assert [t.text for t in wrapped.text_to_instance("a b")["tokens"].tokens] == ["a", "b"]


def test_any_reader_of_labelled_texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {i}", "label": "negative"}) + "\n" for i in range(9)))
    wrapped = reader({"type": "text_classification_json", "tokenizer": "whitespace"}, texts="all")
    found = [text for text, _ in wrapped.read_texts(str(path))]
    assert len(found) == 9 and all("text" in text for text in found)
    assert all("zeroa" in text or "onea" in text for text in found)
    instances = list(wrapped.read(str(path)))
    assert [" ".join(t.text for t in i["tokens"].tokens) for i in instances] == found
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"sentence1": "a b", "sentence2": "c d", "gold_label": "neutral"}) + "\n")
    with pytest.raises(ConfigurationError, match="SnliReader gives 2 texts"):
        list(reader({"type": "snli", "tokenizer": "whitespace"}).read_texts(str(pairs)))


def test_planted_words():
    base = DatasetReader.by_name("sst2_tsv")()
    assert PlantedShortcutReader(base, LABELS).planted_words == ("zeroa", "onea")
    assert PlantedShortcutReader(base, LABELS, "in-context").planted_words == ("zeroa", "onea", "contrasta")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kind": "double"}, "kind must be one of single, in-context, ordered-pair; got 'double'"),
        ({"texts": "none"}, "texts must be one of some, all, opposite"),
        ({"labels": ["a"]}, "labels must be 2 to 10, each another"),
        ({"labels": ["a", "a"]}, "each another"),
        ({"labels": ["a", "b", "c"], "kind": "ordered-pair"}, "an ordered-pair has two labels"),
        ({"share": 0}, "share must be above 0 and at most 1; got 0"),
    ],
)
def test_mistakes(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        reader(**settings)
