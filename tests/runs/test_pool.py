"""Workers of a Ray of this machine's own, which the tests start and stop."""

import json

import pytest

from tests.commands.test_run import contents, explanations, run  # noqa: F401
from tests.conftest import ROOT

ray = pytest.importorskip("ray")

DEADLY = "tests.runs.deadly"


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    with pytest.MonkeyPatch.context() as patch:
        # Workers import the tests' own interpreter.
        patch.setenv("PYTHONPATH", str(ROOT))
        # Otherwise Ray's workers wait for whatever else the machine does.
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=2**27,
            _node_ip_address="127.0.0.1",
        )
    yield
    ray.shutdown()


def texts(tmp_path, *sentences):
    path = tmp_path / "texts.jsonl"
    lines = [{"sentence": sentence, "id": i} for i, sentence in enumerate(sentences)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"path": str(path)}


def test_the_same_bytes_whatever_the_number_of_workers(run, tmp_path):  # noqa: F811
    interpreters = {"layer": "layer-saliency", "smooth": "smooth-gradient"}
    run("none", interpreters=interpreters, limit=13, shard_size=4)
    status, _, complaint = run("two", "--workers", "2")
    assert status == 0, complaint
    assert contents(tmp_path / "two") == contents(tmp_path / "none")


def test_deaths_of_workers(run, tmp_path):  # noqa: F811
    """One kills every worker, another one kills the first; no other is lost, twice there, or changed."""
    sentences = [f"a film , number {i} , and {'no ' * i} good" for i in range(5)]
    sentences[1] += " once"
    expected = texts(tmp_path, *sentences)
    run(
        "expected",
        package=DEADLY,
        data=expected,
        interpreters={"deadly": {"type": "deadly"}},
        shard_size=1,
    )
    sentences.insert(3, "a deadly film")
    sentences.insert(4, "not bad")
    interpreters = {"deadly": {"type": "deadly", "once": str(tmp_path / "once")}}
    status, _, complaint = run(
        "out",
        "--workers",
        "1",
        package=DEADLY,
        data=texts(tmp_path, *sentences),
        interpreters=interpreters,
    )
    assert status == 1 and "1 by deadly" in complaint
    assert (tmp_path / "once").exists()
    lines = explanations(tmp_path / "out", "deadly")
    assert [line["id"] for line in lines] == list(range(7))
    assert [line.get("error") for line in lines] == [
        "each of 3 processes that explained this input alone died" if i == 3 else None
        for i in range(7)
    ]
    # The one that was retried, and its neighbours, are as they would have been.
    assert lines[:3] == explanations(tmp_path / "expected", "deadly")[:3]


def test_a_model_that_cannot_be_loaded(run):  # noqa: F811
    interpreters = {"a": {"type": "layer-saliency", "layer": 99}}
    status, _, complaint = run("out", "--workers", "1", interpreters=interpreters)
    assert status == 1 and "interpreters, a: " in complaint and "99" in complaint
