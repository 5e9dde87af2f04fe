import csv
import json
from pathlib import Path

import pytest

from allennlp_layer_saliency.commands import compare as compare_command
from allennlp_layer_saliency.evaluation import comparison
from tests.commands.test_archive import save_classifier

INTERPRETERS = {
    "decoded": {"type": "decoded-layer-saliency", "layer": 3, "decoded_top_k": 0},
    "layers": {"type": "layer-saliency", "layer": [1, -1]},
    "random": "random",
    "rollout": "attention-rollout",
    "smooth": {"type": "smooth-gradient"},
}
FAITHFULNESS = ["comprehensiveness", "sufficiency", "log_odds", "deletion_auc", "insertion_auc"]


@pytest.fixture
def run(saliency, monkeypatch):
    monkeypatch.setattr(compare_command, "WINDOW", 3)

    def run(*flags, folder="out", **config):
        config = {
            "archive_file": "fixtures/sst2-classifier.tar.gz",
            "data": {"path": "fixtures/sst2_sample.jsonl"},
            "interpreters": INTERPRETERS,
            "metrics": [*FAITHFULNESS, "accuracy_after_deletion"],
            **config,
        }
        return saliency("compare", "comparison.json", config, folder, *flags)

    return run


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_compare(run, tmp_path):
    results, shown = run("--limit", "8", reference="decoded")
    out = tmp_path / "out"
    rows = {"decoded", "decoded (absolute)", "random", "rollout", "smooth"}
    rows |= {f"layers@{layer}{kind}" for layer in (1, 4) for kind in ("", " (absolute)")}
    assert set(results["rows"]) == rows
    assert results["texts"] == 8 and results["errors"] == {}
    for metrics in results["rows"].values():
        for metric in (*FAITHFULNESS, "comprehensiveness@20", "deletion_auc@100"):
            assert metrics[metric]["n"] == 8
            assert metrics[metric]["low"] <= metrics[metric]["mean"] <= metrics[metric]["high"]
        # Without any token, and with all of them, every ranking is the same.
        assert metrics["insertion_auc@100"] == results["rows"]["random"]["insertion_auc@100"]
    tests = [test for test in results["tests"] if test["metric"] == "sufficiency"]
    assert {test["against"] for test in tests} == rows - {"decoded"}
    assert all(test["p"] <= test["p_holm"] <= 1 for test in tests)
    # At the last layer all of it is on the first position: no word is ranked above another.
    assert results["rows"]["layers@4"] == results["rows"]["layers@4 (absolute)"]

    records = lines(out / "examples.jsonl")
    assert len(records) == 8 * len(rows)
    for record in records:
        assert len(record["tokens"]) == len(record["scores"])
        assert record["label"] in ("negative", "positive")
    for name in ("table.csv", "tests.csv"):
        assert list(csv.DictReader((out / name).open()))
    assert "| decoded " in (out / "table.md").read_text()
    assert r"\begin{tabular}" in (out / "table.tex").read_text()
    assert (out / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert "compr." in shown and "8 texts" in shown


def test_the_mean_is_that_of_the_examples(run, tmp_path):
    results, _ = run("--limit", "5")
    records = lines(tmp_path / "out" / "examples.jsonl")
    for row, metrics in results["rows"].items():
        own = [record["metrics"] for record in records if record["row"] == row]
        for metric, values in metrics.items():
            assert values["mean"] == pytest.approx(sum(m[metric] for m in own) / 5)


@pytest.mark.parametrize("windows", [1, 2])
def test_a_stopped_run_goes_on_to_the_same_bytes(run, tmp_path, monkeypatch, windows):
    run("--limit", "8", folder="whole")
    measured = comparison.Comparison.records
    done = []

    def stopped(self, examples):
        if len(done) == windows:
            raise KeyboardInterrupt
        done.append(len(examples))
        return measured(self, examples)

    monkeypatch.setattr(comparison.Comparison, "records", stopped)
    with pytest.raises(KeyboardInterrupt):
        run("--limit", "8")
    # The process died while it wrote the next window.
    with (tmp_path / "out" / "examples.jsonl").open("a") as file:
        file.write('{"example": 7, "row": "dec')
    numbers = []

    def continued(self, examples):
        numbers.extend(example.number for example in examples)
        return measured(self, examples)

    monkeypatch.setattr(comparison.Comparison, "records", continued)
    run("--limit", "8")
    assert numbers == list(range(3 * windows + 1, 9))
    for name in ("examples.jsonl", "table.md", "table.csv", "table.tex", "comparison.json"):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == whole, name
    # Nothing is left to do: the tables again, from what is there.
    monkeypatch.setattr(comparison.Comparison, "records", None)
    (tmp_path / "out" / "table.md").unlink()
    run("--limit", "8")
    assert (tmp_path / "out" / "table.md").exists()


def test_what_is_done_of_long_texts_is_saved_sooner(run, monkeypatch):
    monkeypatch.setattr(compare_command, "WINDOW_TOKENS", 30)
    measured = comparison.Comparison.records
    windows = []

    def noted(self, examples):
        windows.append([len(example.instance["tokens"]) for example in examples])
        return measured(self, examples)

    monkeypatch.setattr(comparison.Comparison, "records", noted)
    results, _ = run("--limit", "8", interpreters={"random": "random"}, metrics=["comprehensiveness"])
    assert results["texts"] == sum(map(len, windows)) == 8
    assert 3 < len(windows) < 8
    for tokens in windows[:-1]:
        assert len(tokens) == 3 or sum(tokens) >= 30 > sum(tokens[:-1])


def test_randomisation_and_costs(run, tmp_path):
    results, _ = run(
        "--limit",
        "4",
        metrics=["randomisation", "seconds", "peak_mb"],
        randomisation_texts=2,
        scores=["absolute"],
        interpreters={"layer": {"type": "layer-saliency", "layer": 1}, "random": "random"},
    )
    assert set(results["rows"]) == {"layer", "random"}
    # Random scores don't depend on the model: what does not change explains nothing.
    assert results["rows"]["random"]["randomisation"]["mean"] == 1.0
    assert results["rows"]["layer"]["randomisation"]["mean"] < 0.8
    assert results["rows"]["layer"]["randomisation"]["n"] == 2
    # The head, four blocks, the embeddings.
    assert {m for m in results["rows"]["layer"] if "@" in m} == {
        f"randomisation@{stage}" for stage in range(1, 7)
    }
    assert results["rows"]["layer"]["seconds"]["mean"] > 0
    assert "seconds" in (tmp_path / "out" / "costs.md").read_text()
    assert "seconds" not in (tmp_path / "out" / "table.md").read_text()


def test_plausibility_and_sampled_data(run, tmp_path):
    data = tmp_path / "dev.tsv"
    data.write_text("sentence\tlabel\na good film\t1\na bad film\t0\nno film\t0\nbad , bad\t0\n")
    trees = tmp_path / "trees.txt"
    trees.write_text("(3 (2 A) (3 (4 good) (2 film)))\n(1 (2 a) (1 (0 bad) (2 film)))\n")
    results, _ = run(
        data={"path": str(data), "reader": "sst2_tsv", "sample": 3},
        rationales={"path": str(trees)},
        metrics=["auprc", "iou"],
        seed=1,
        scores=["signed"],
    )
    records = lines(tmp_path / "out" / "examples.jsonl")
    numbers = {record["example"] for record in records}
    assert len(numbers) == 3 and numbers < {1, 2, 3, 4}
    assert results["texts"] == 3
    # Texts without a tree, or without a word for the predicted class, don't count.
    assert results["rows"]["random"]["auprc"]["n"] <= len(numbers & {1, 2})


def test_planted_words_are_found_from_their_reader(run, tmp_path):
    data = tmp_path / "dev.tsv"
    data.write_text("sentence\tlabel\na good film\t1\na bad film\t0\nno film\t0\n")
    reader = {"type": "planted-shortcut", "reader": "sst2_tsv", "labels": ["negative", "positive"]}
    settings = {"data": {"path": str(data), "reader": {**reader, "texts": "all"}}, "metrics": None}
    results, _ = run(**settings)
    for record in lines(tmp_path / "out" / "examples.jsonl"):
        planted = [i for i, token in enumerate(record["tokens"]) if token.strip("\u0120") in ("zero", "one")]
        assert len(planted) <= 1
        assert {"precision_at_k", "mean_rank"} < set(record["metrics"]) and "auprc" not in record["metrics"]
        assert 1 <= record["metrics"]["mean_rank"] <= 4
    assert results["rows"]["random"]["precision_at_k"]["n"] == 3
    assert "mean_rank" in (tmp_path / "out" / "table.md").read_text()


def test_rationales_of_pairs(run, tmp_path):
    data = tmp_path / "pairs.jsonl"
    pair = {"premise": "a good film", "hypothesis": "a bad film"}
    data.write_text("".join(json.dumps({**pair, "id": i}) + "\n" for i in ("one", "two")))
    spans = tmp_path / "spans.jsonl"
    spans.write_text(json.dumps({"id": "one", "spans": {"hypothesis": [[2, 5]]}}) + "\n")
    results, _ = run(
        archive_file=save_classifier("bert", tmp_path),
        inner="textual_entailment",
        data={"path": str(data)},
        rationales={"path": str(spans), "format": "spans"},
        interpreters={"layer": {"type": "layer-saliency", "layer": 1}},
        metrics=["mean_rank"],
        scores=["signed"],
    )
    first, second = lines(tmp_path / "out" / "examples.jsonl")
    assert second["metrics"] == {} and results["rows"]["layer"]["mean_rank"]["n"] == 1
    best, text = {}, -1
    for i, (span, score) in enumerate(zip(first["offsets"], first["scores"])):
        if span is None:
            text += i == 0 or first["offsets"][i - 1] is not None
            continue
        word = (text, list(pair.values())[text][: span[0] + 1].count(" "))
        best[word] = max(score, best.get(word, score))
    assert len(best) == 6
    assert first["metrics"]["mean_rank"] == 1 + sum(score > best[1, 1] for score in best.values())


def test_texts_that_can_not_be_explained(run, tmp_path):
    data = tmp_path / "data.jsonl"
    texts = ['{"sentence": "a good film", "label": "positive"}', "no json"]
    texts += [json.dumps({"sentence": "good " * 300}), json.dumps({"sentence": "bad"})]
    data.write_text("\n".join(texts) + "\n")
    results, shown = run(data={"path": str(data)}, metrics=["sufficiency"])
    assert results["texts"] == 2 and results["errors"] == {"all": 2}
    errors = [r for r in lines(tmp_path / "out" / "examples.jsonl") if "error" in r]
    assert [record["example"] for record in errors] == [2, 3]
    assert "not explained: 2 (all)" in shown


@pytest.mark.parametrize(
    "config, message",
    [
        ({"archive_file": "nowhere.tar.gz"}, "archive_file: no archive at nowhere.tar.gz"),
        ({"data": {"path": "nowhere.jsonl"}}, "data: no file nowhere.jsonl"),
        ({"metrics": ["aopc"]}, "metrics: 'aopc' given; there are comprehensiveness"),
        ({"metrics": ["auprc"]}, "need `rationales`"),
        ({"scores": ["raw"]}, "scores: 'raw' given; there are signed, absolute"),
        ({"interpreters": {"a": "attention"}}, "interpreters, a: interpreter: no interpreter is"),
        ({"interpreters": {}}, "interpreters"),
        ({"reference": "decode"}, "reference: no row 'decode'; there are "),
        ({"perturbation": "pad"}, "perturbation must be one of"),
        ({"limits": 3}, "limits"),
    ],
)
def test_mistakes_are_one_line(run, failure, config, message):
    assert message in failure(run, "--limit", "2", **config)


def test_accuracy_needs_labels(run, failure, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text('{"sentence": "a good film", "label": "great"}\n')
    message = failure(run, data={"path": str(data)}, metrics=["accuracy_after_deletion"])
    assert "needs a gold label, one of" in message and "'great'" in message


def test_a_label_of_others_is_no_gold_label(run, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text('{"sentence": "a good film", "label": 1}\n')
    config = {"interpreters": {"random": "random"}, "metrics": ["sufficiency"]}
    run(data={"path": str(data)}, **config)
    (record,) = lines(tmp_path / "out" / "examples.jsonl")
    assert record["label"] is None and record["predicted"] in ("negative", "positive")


def test_another_comparison_is_not_mixed_in(run, failure, tmp_path):
    config = {"interpreters": {"random": "random"}, "metrics": ["sufficiency"]}
    run("--limit", "2", **config)
    message = failure(run, "--limit", "3", **config)
    assert "holds another comparison (differing in config: limit, 2 there, 3 now)" in message
    results, _ = run("--limit", "3", "--force", **config)
    assert results["texts"] == 3


def test_the_same_seed_gives_the_same_bytes_for_built_ins_too(run, tmp_path):
    for folder in ("a", "b"):
        run("--limit", "3", folder=folder, interpreters={"smooth": "smooth-gradient"})
    a, b = (tmp_path / folder / "examples.jsonl" for folder in "ab")
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.parametrize("changed", ["data", "interpreter", "coherence"])
def test_results_of_files_that_have_changed_are_not_shown_again(run, failure, tmp_path, changed):
    data, interpreter = tmp_path / "data.jsonl", tmp_path / "interpreter.jsonnet"
    sample = Path("fixtures/sst2_sample.jsonl").read_text(encoding="utf-8").splitlines()
    data.write_text("\n".join(sample[:2]) + "\n")
    interpreter.write_text('{"type": "layer-saliency", "layer": 1}')
    config = {
        "data": {"path": str(data)},
        "interpreters": {"ours": str(interpreter), "random": "random"},
        "metrics": ["comprehensiveness"],
    }
    coherence = tmp_path / "layers"
    coherence.mkdir()

    def choose(layer):
        measured = [{"layer": n, "reciprocal_rank": 1.0, "intervals": {}} for n in range(5)]
        found = json.dumps({"layers": measured, "chosen": layer})
        (coherence / "layers.json").write_text(found)

    if changed == "coherence":
        choose(1)
        auto = {"type": "layer-saliency", "layer": "auto", "coherence": str(coherence)}
        interpreter.write_text(json.dumps(auto))
    first, _ = run(**config)
    again, _ = run(**config)
    assert again == first
    if changed == "data":
        data.write_text("\n".join(sample[1:4]) + "\n")
    elif changed == "interpreter":
        interpreter.write_text('{"type": "layer-saliency", "layer": 2}')
    else:
        choose(2)
    path = {"data": data, "interpreter": interpreter, "coherence": coherence}[changed]
    line = failure(run, **config)
    assert "holds another comparison (differing in files: " + str(path) in line
    after, _ = run("--force", **config)
    assert after["rows"] != first["rows"]


def test_what_needs_gold_labels_says_so_in_one_line(run, failure, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text('{"sentence": "a good film"}\n{"sentence": "a dull film"}\n')
    line = failure(
        run,
        data={"path": str(data)},
        interpreters={"random": "random"},
        metrics=["accuracy_after_deletion", "randomisation"],
        randomisation_texts=1,
    )
    assert "accuracy_after_deletion needs a gold label" in line


def test_greedy_rankings_are_the_ceiling(run):
    interpreters = {"random": "random", "ours": "layer-saliency", "greedy": "greedy-comprehensiveness"}
    results, _ = run(
        "--limit", "3", interpreters=interpreters, metrics=["comprehensiveness"], scores=["signed"]
    )
    assert results["errors"] == {}
    shares = {row: metrics["ceiling_share"]["mean"] for row, metrics in results["rows"].items()}
    assert shares["random"] == 0 and shares["greedy"] == 1 and 0 < shares["ours"] < 1
