"""Whatever text comes: a result or a one-line error, in bounded memory."""

import json
import os
import random
import re

import pytest
from allennlp.models.archival import load_archive
from allennlp.predictors import Predictor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allennlp_layer_saliency.commands.run import explain_data
from allennlp_layer_saliency.runs.folder import read_run
from tests.conftest import ROOT

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ODD = [
    "",
    " ",
    "a",
    "good " * 10_000,
    "x" * 5_000,
    "\U0001d4b3",  # only unknown to most tokenizers
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",  # emoji and joiners
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",  # right to left
    "\x00\x07\x1b[31m",
    "\ufeff\u200b\u00a0",
    "\ud800",  # a lone surrogate
    "\u01c5\u0130\ufdfa",  # letters that change length when lower-cased
    "not not not bad bad",
    "<s>",
    "</s> </s>",
    "<mask> [MASK] <pad> <unk>",
    "<img src=x onerror=alert(1)>",
]
TEXTS = st.one_of(
    st.sampled_from(ODD),
    st.text(max_size=80),
    st.lists(st.sampled_from(ODD[5:] + ["good", "film"]), max_size=8).map(" ".join),
)


@pytest.fixture(scope="module")
def archive():
    before = os.getcwd()
    os.chdir(ROOT)
    yield load_archive("fixtures/sst2-classifier.tar.gz")
    os.chdir(before)


def saliency(archive, name):
    return Predictor.from_archive(archive, "saliency", extra_args={"interpreter": name})


@pytest.mark.parametrize("name", ["decoded-layer-saliency", "projected-gradient-saliency"])
def test_random_inputs(archive, name, monkeypatch):
    monkeypatch.setattr("atexit.register", lambda function: function)
    predictor = saliency(archive, name)

    # 100 batches of ten for each of the two: 2,000 inputs.
    @settings(
        max_examples=100,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(TEXTS, min_size=10, max_size=10))
    def check(texts):
        lines = [predictor.load_line(json.dumps({"sentence": text})) for text in texts]
        outputs = [json.loads(predictor.dump_line(out)) for out in predictor.predict_batch_json(lines)]
        assert len(outputs) == len(texts)
        for text, output in zip(texts, outputs):
            if "error" in output:
                assert "\n" not in output["error"]
                assert (
                    "word pieces; the model has room for" in output["error"]
                    or "the text is empty" in output["error"]
                    or ("surrogate" in output["error"] and re.search("[\ud800-\udfff]", text))
                )
                continue
            assert text.strip(" \t\r\n")
            instance = output["saliency"]["instance_1"]
            scores = instance["grad_input_1"]
            assert len(scores) == len(instance["tokens_1"]) == len(instance["decoded_1"])
            assert sum(scores) == pytest.approx(1, abs=1e-5) or set(scores) == {0.0}

    check()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's /proc")
def test_memory_does_not_grow(archive):
    predictor = saliency(archive, "decoded-layer-saliency")
    sample = (ROOT / "fixtures" / "sst2_sample.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in sample]

    def resident_megabytes():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * PAGE_BYTES / 2**20

    for i in range(1_000):
        predictor.predict_json(lines[i % len(lines)])
        if i == 99:
            after_100 = resident_megabytes()
    assert resident_megabytes() - after_100 < 30


def random_value(numbers, depth=0):
    """A JSON value as text; some are beyond what Python, or JSON itself, takes."""
    nested = [random_value(numbers, depth + 1) for _ in range(numbers.randrange(3 - depth))]
    return numbers.choice(
        [
            json.dumps(numbers.choice(["good film", "", "  ", "\u0130 b", "<s>", "\x00", "\U0001f600"])),
            json.dumps("good film"),
            numbers.choice(["1e999", "-1e999", "NaN", "-Infinity", "0.1", "1e-999"]),
            str(numbers.randrange(-(10**30), 10**30)),
            numbers.choice(["null", "true", "false"]),
            '"\\ud800"',
            f"[{', '.join(nested)}]",
            "{" + ", ".join(f'"a": {value}' for value in nested) + "}",
        ]
    )


def random_line(numbers):
    if numbers.random() < 0.03:
        return numbers.choice([random_value(numbers), "[" * 2_000, "{", "good film"])
    keys = ["sentence", *numbers.choices(["id", "label", "sentence", "text", "premise"], k=2)]
    values = [json.dumps("a good film") if numbers.random() < 0.3 else random_value(numbers) for _ in keys]
    return "{" + ", ".join(f'"{key}": {value}' for key, value in zip(keys, values)) + "}"


def is_explained(output):
    assert ("saliency" in output) != ("error" in output)
    return "saliency" in output


def test_no_value_in_a_line_ends_a_run(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("atexit.register", lambda function: function)
    numbers = random.Random(0)
    lines = [random_line(numbers) for _ in range(2_000)]
    predictor = saliency(archive, "layer-saliency")
    predicted = []
    for start in range(0, len(lines), 100):
        batch = [predictor.load_line(line) for line in lines[start : start + 100]]
        outputs = [predictor.dump_line(out) for out in predictor.predict_batch_json(batch)]
        predicted.extend(json.loads(output.encode("utf-8")) for output in outputs)
    assert len(predicted) == len(lines)
    explained = sum(map(is_explained, predicted))
    assert 200 < explained < 1_800

    monkeypatch.chdir(ROOT)
    (tmp_path / "data.jsonl").write_text("\n".join(lines[:600]) + "\n", encoding="utf-8")
    config = {
        "archive_file": "fixtures/sst2-classifier.tar.gz",
        "data": {"path": str(tmp_path / "data.jsonl")},
        "interpreters": {"ours": "layer-saliency"},
    }
    (tmp_path / "run.json").write_text(json.dumps(config))
    assert explain_data(str(tmp_path / "run.json"), str(tmp_path / "out")) == 1
    found = list(read_run(str(tmp_path / "out"))["ours"])
    assert list(map(is_explained, found)) == list(map(is_explained, predicted[:600]))
