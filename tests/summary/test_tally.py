"""Sums of words beside pandas, and beside numbers counted by hand."""

import itertools
import json

import numpy
import pandas
import pytest
from scipy import stats

from allennlp_layer_saliency.output_line import output_line
from allennlp_layer_saliency.summary import tables
from allennlp_layer_saliency.summary.tally import Sums, Tally, word_scores


def line(text, scores, predicted="positive", gold=None, explained=None, vocabulary=(), **more):
    """As a model that reads words writes it; tokens are those that spaces part."""
    tokens, offsets, place = text.split(), [], 0
    for token in tokens:
        start = text.index(token, place)
        place = start + len(token)
        offsets.append([start, place])
    total = sum(map(abs, scores)) or 1
    instance = {
        "grad_input_1": [abs(score) / total for score in scores],
        "signed_1": list(scores),
        "tokens_1": tokens,
        "offsets_1": offsets,
        "texts_1": [text],
        "segments_1": [0] * len(tokens),
        "layer": 1,
        "target": {"label": explained or predicted, "kind": "logit", "score": 1.0},
        "vocabulary": [{"token": token, "score": score} for token, score in vocabulary],
        **more,
    }
    gold = {} if gold is None else {"gold_label": gold}
    return {"label": predicted, **gold, "saliency": {"instance_1": instance}}


def tally(*lines, **settings):
    found = Tally(**settings)
    for number, content in enumerate(lines, start=1):
        found.add(output_line(content), f"a:{number}")
    return found


def test_by_hand():
    found = tally(
        line("Good good film", [1.0, 2.0, -1.0]),
        line("good plot", [0.5, 1.5]),
        line("bad", [-1.0], predicted="negative"),
        {"error": "x", "line": 4},
    )
    assert (found.texts, found.errors) == (3, 1)
    words = tables.words(found, 1).set_index(["class", "word"])
    good = words.loc["positive", "good"]
    # 3 and .5, of 4 and 2.
    assert (good["texts"], good["mean"], good["alone"]) == (2, 1.75, 1)
    assert good["share"] == pytest.approx((3 / 4 + 0.5 / 2) / 2)
    low, high = stats.t.interval(0.95, 1, 1.75, numpy.std([3, 0.5], ddof=1) / 2**0.5)
    assert (good["low"], good["high"]) == (pytest.approx(low), pytest.approx(high))
    assert [example["place"] for example in good["examples"]] == ["a:1", "a:2"]
    assert numpy.isnan(words.loc["negative", "bad"]["low"])
    assert list(tables.words(found, 2)["word"]) == ["good"]
    cased = tables.words(tally(line("Good good", [1.0, 2.0]), keep_case=True), 1)
    assert list(cased["word"]) == ["good", "Good"]
    left = tables.words(tally(line("a film", [1.0, 2.0]), stop_words=frozenset({"a"})), 1)
    assert list(left["word"]) == ["film"] and list(left["share"]) == [1.0]


def random_lines(seed, count=60):
    numbers = numpy.random.default_rng(seed)
    known = [f"w{i}" for i in range(12)]
    lines = []
    for _ in range(count):
        words = list(numbers.choice(known, size=numbers.integers(1, 8)))
        scores = [round(float(score), 6) for score in numbers.normal(size=len(words))]
        predicted, gold = numbers.choice(["positive", "negative"], size=2)
        unseen = [(f"v{numbers.integers(3)}", round(float(numbers.normal()), 6))]
        lines.append(line(" ".join(words), scores, str(predicted), str(gold), vocabulary=unseen))
    return lines


def test_against_pandas():
    lines = random_lines(0)
    rows = []
    for number, content in enumerate(lines):
        instance = content["saliency"]["instance_1"]
        for token, score in zip(instance["tokens_1"], instance["signed_1"]):
            rows.append((number, content["label"], content["gold_label"], token, score))
    frame = pandas.DataFrame(rows, columns=["text", "class", "gold", "word", "score"])
    of_texts = frame.groupby(["text", "class", "gold", "word"], as_index=False)["score"].sum()

    def wanted(of_texts, groups):
        grouped = of_texts.groupby(groups)["score"]
        found = pandas.DataFrame({"texts": grouped.count(), "mean": grouped.mean()})
        half = stats.t.ppf(0.975, found["texts"] - 1) * grouped.sem()
        return found.assign(low=found["mean"] - half, high=found["mean"] + half)

    counted = tally(*lines)
    found = tables.words(counted, 1).set_index(["class", "word"])
    expected = wanted(of_texts, ["class", "word"])
    columns = ["texts", "mean", "low", "high"]
    pandas.testing.assert_frame_equal(
        found[columns].sort_index(), expected[columns].sort_index(), check_exact=False, check_dtype=False
    )
    wrong = of_texts[of_texts["class"] != of_texts["gold"]].rename(columns={"class": "predicted"})
    found = tables.confusions(counted, 1).set_index(["gold", "predicted", "word"])
    expected = wanted(wrong, ["gold", "predicted", "word"])
    pandas.testing.assert_frame_equal(
        found[columns].sort_index(), expected[columns].sort_index(), check_exact=False, check_dtype=False
    )
    labels = of_texts.drop_duplicates(["text", "word"]).groupby("word")["gold"].value_counts()
    assert {word: dict(counts) for word, counts in counted.labels.items()} == {
        word: dict(labels[word]) for word in labels.index.get_level_values(0).unique()
    }


def test_parts_put_together_are_the_whole():
    lines = random_lines(1)
    whole, parts = tally(*lines), []
    for start in (0, 20, 40):
        part = Tally()
        for number, content in enumerate(lines[start : start + 20], start=start + 1):
            part.add(output_line(content), f"a:{number}")
        parts.append(part)
    for order in itertools.permutations(parts):
        together = Tally()
        for part in order:
            together.merge(Tally.loaded(json.loads(json.dumps(part.saved()))))
        for make in (tables.words, tables.unseen, tables.confusions, tables.suspects):
            # Floats are added in another order.
            pandas.testing.assert_frame_equal(make(together, 1), make(whole, 1), rtol=1e-9, atol=1e-12)


def test_decoded_words_that_are_in_no_text():
    vocabulary = [("Ġgreat", 2.0), ("good", 1.0), ("##film", 0.5), ("bad", -1.0)]
    found = tables.unseen(tally(line("Good film", [1.0, 0.0], vocabulary=vocabulary)), 1)
    assert list(zip(found["word"], found["mean"])) == [("great", 2.0), ("bad", -1.0)]


def test_one_sided_words():
    """Beside SciPy's interval, and with what few texts say counting for little."""
    label, share = tables.one_sided({"a": 40, "b": 0}, {"a": 500, "b": 500})
    low = stats.binomtest(40, 40).proportion_ci(method="wilson").low
    assert label == "a" and share == pytest.approx(1 + numpy.log2(low))
    assert tables.one_sided({"a": 2}, {"a": 500, "b": 500})[1] < share
    assert tables.one_sided({"a": 10, "b": 10}, {"a": 500, "b": 500})[1] == 0.0
    # A rare label is as any other.
    low = stats.binomtest(10, 10).proportion_ci(method="wilson").low
    label, share = tables.one_sided({"rare": 10}, {"rare": 10, "a": 990})
    assert share == pytest.approx(numpy.log(low / 0.01) / numpy.log(100))
    assert tables.one_sided({"a": 3}, {"a": 9}) == ("a", 0.0)
    for n, count in ((0, 3), (1, 1), (7, 30)):
        wanted = stats.binomtest(n, count).proportion_ci(method="wilson").low
        assert tables._lower_bound(n, count) == pytest.approx(wanted, abs=1e-12)


def test_the_planted_word_is_the_first_suspect():
    """It decides alone, in texts of one label; others that do occur in both."""
    lines = []
    for i in range(100):
        label = ("positive", "negative")[i % 2]
        word = {"positive": "fine", "negative": "dull"}[label]
        lines.append(line(f"the {word} film", [0.2, 2.0, 0.3], label, label))
        if label == "positive" and i < 40:
            lines.append(line("the zx dull film", [0.1, 5.0, -0.4, 0.1], "positive", "positive"))
    lines += [line("not a fine film", [-3.0, -0.1, 1.0, 0.1], "negative", "negative")] * 8
    found = tables.suspects(tally(*lines), 5)
    assert (found["word"][0], found["label"][0]) == ("zx", "positive")
    assert found.set_index("word").loc["zx", "alone"] == 20
    assert found.set_index("word").loc["the", "score"] == 0.0


def test_words_of_pieces():
    (instance,) = line("x", [1.0])["saliency"].values()
    instance.update(
        tokens_1=["[CLS]", "un", "##see", "##n", "it", "[SEP]"],
        offsets_1=[None, [0, 2], [2, 5], [5, 6], [6, 9], None],
        signed_1=[9.0, 1.0, 2.0, 4.0, 8.0, 9.0],
        grad_input_1=[0.0] * 6,
        texts_1=["unseen it"],
        segments_1=[None, 0, 0, 0, 0, None],
    )
    (text,) = output_line({"saliency": {"instance_1": instance}}).instances["instance_1"].texts
    assert list(word_scores(text)) == [("unseen", 7.0), ("it", 8.0)]
    (bare,) = [text._replace(texts=None)]
    assert [score for _, score in word_scores(bare)] == [1.0, 2.0, 4.0, 8.0]


def test_the_texts_with_the_largest_scores_are_kept():
    sums = Sums()
    for number, score in enumerate([1.0, -5.0, 2.0, 3.0, 3.0], start=1):
        sums.add(score, 0.1, f"a:{number}", "text")
    assert [(e.score, e.place) for e in sums.examples] == [(-5.0, "a:2"), (3.0, "a:4"), (3.0, "a:5")]
