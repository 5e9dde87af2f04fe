"""Whatever text comes: a result or a one-line error, in bounded memory."""

import json
import os

import pytest
from allennlp.models.archival import load_archive
from allennlp.predictors import Predictor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
        outputs = [
            json.loads(predictor.dump_line(out)) for out in predictor.predict_batch_json(lines)
        ]
        assert len(outputs) == len(texts)
        for text, output in zip(texts, outputs):
            if "error" in output:
                assert "\n" not in output["error"]
                assert "word pieces; the model has room for" in output["error"] or (
                    "the text is empty" in output["error"]
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
