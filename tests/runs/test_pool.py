"""Workers of a Ray of this machine's own, which the tests start and stop."""

import json

import pytest

from allennlp_layer_saliency.data import Input
from allennlp_layer_saliency.runs import isolation, pool
from allennlp_layer_saliency.runs.explainer import Shard
from allennlp_layer_saliency.runs.isolation import ShardWork
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


def written(path, sentences):
    lines = [{"sentence": sentence, "id": sentence} for sentence in sentences]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"path": str(path)}


def test_the_same_bytes_whatever_the_number_of_workers(run, tmp_path):  # noqa: F811
    interpreters = {"layer": "layer-saliency", "smooth": "smooth-gradient"}
    run("none", interpreters=interpreters, limit=13, shard_size=4)
    status, _, complaint = run("two", "--workers", "2")
    assert status == 0, complaint
    assert contents(tmp_path / "two") == contents(tmp_path / "none")


def test_deaths_of_workers(run, tmp_path, monkeypatch):  # noqa: F811
    """One text kills every worker, another one the first; none else is lost, twice there, or changed."""
    # Each death costs the start of a process; test_isolation.py counts to three.
    monkeypatch.setattr(isolation, "ATTEMPTS", 2)
    sentences = [f"a film , number {i} , and {'no ' * i} good" for i in range(3)]
    sentences[1] += " once"
    run(
        "expected",
        package=DEADLY,
        data=written(tmp_path / "expected.jsonl", sentences),
        interpreters={"deadly": {"type": "test-deadly"}},
    )
    sentences.insert(2, "a deadly film")
    status, _, complaint = run(
        "out",
        "--workers",
        "1",
        package=DEADLY,
        data=written(tmp_path / "deadly.jsonl", sentences),
        interpreters={"deadly": {"type": "test-deadly", "once": str(tmp_path / "once")}},
    )
    assert status == 1 and "1 by deadly" in complaint
    assert (tmp_path / "once").exists()
    lines = explanations(tmp_path / "out", "deadly")
    assert lines.pop(2) == {
        "id": "a deadly film",
        "line": 3,
        "error": "each of 2 processes that explained this input alone died",
    }
    assert lines == explanations(tmp_path / "expected", "deadly")


def test_what_has_killed_a_worker_has_the_next_one_to_itself():
    """Else a task that was done, but not yet reported, would pay for the one behind it."""
    inputs = [Input(i + 1, b"{}") for i in range(4)]
    fresh, suspect = (ShardWork(Shard(n, inputs), ["a"]).begin() for n in range(2))
    assert pool._takes_more([]) and pool._takes_more([("ref", fresh)])
    assert not pool._takes_more([("ref", None)])  # it loads
    assert not pool._takes_more([("ref", fresh), ("ref", fresh)])
    assert suspect.work.died(suspect) == [suspect]
    assert not pool._takes_more([("ref", suspect)])
    suspect.work.died(suspect)
    halves = suspect.work.died(suspect)
    assert len(halves) == 2 and not any(pool._takes_more([("ref", half)]) for half in halves)


def test_a_model_that_cannot_be_loaded(run):  # noqa: F811
    interpreters = {"a": {"type": "layer-saliency", "layer": 99}}
    status, _, complaint = run("out", "--workers", "1", interpreters=interpreters)
    assert status == 1 and "interpreters, a: " in complaint and "99" in complaint
