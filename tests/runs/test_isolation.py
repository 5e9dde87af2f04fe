import json

import pytest

from allennlp_layer_saliency.data import Input
from allennlp_layer_saliency.runs.explainer import Output, Shard
from allennlp_layer_saliency.runs.isolation import ATTEMPTS, ShardWork

SIZE = 13


def work_through(dies):
    """Explain a shard with processes that die as `dies(places, task's number)` says; how many did, and what
    came of it."""
    lines = [json.dumps({"sentence": str(i), "id": f"t{i}"}).encode() for i in range(SIZE)]
    inputs = [Input(i + 1, line) for i, line in enumerate(lines)]
    work = ShardWork(Shard(0, inputs), ["a", "b"])
    waiting, deaths, number = [work.begin()], 0, 0
    while waiting:
        task = waiting.pop(0)
        number += 1
        if dies(list(task.places), number):
            deaths += 1
            waiting += work.died(task)
        else:
            # An output depends on what it was explained with, as rounding does.
            together = [item.number for item in task.inputs]
            of_name = [Output(f"{item.number} of {together}", False) for item in task.inputs]
            waiting += work.done(task, {"a": of_name, "b": of_name})
        assert number < 500
    return deaths, work.outputs


def whole(*without):
    places = [i for i in range(SIZE) if i not in without]
    return {i: f"{i + 1} of {[place + 1 for place in places]}" for i in places}


@pytest.mark.parametrize("fatal", [(), (0,), (6,), (12,), (3, 4), (0, 5, 12), tuple(range(SIZE))])
def test_what_kills_is_found_and_nothing_else(fatal):
    deaths, outputs = work_through(lambda places, _: any(i in fatal for i in places))
    assert (deaths == 0) == (not fatal)
    for name in ("a", "b"):
        assert len(outputs[name]) == SIZE
        for i, output in enumerate(outputs[name]):
            if i in fatal:
                assert output.is_error
                record = json.loads(output.line)
                assert record["id"] == f"t{i}" and record["line"] == i + 1
                assert record["error"] == "each of 3 processes that explained this input alone died"
            else:
                assert output == Output(whole(*fatal)[i], False)


@pytest.mark.parametrize("chance", [{1}, {1, 2}, {1, 2, 3}, {1, 2, 3, 4}, {1, 2, 3, 5, 7}])
def test_deaths_by_chance_change_nothing(chance):
    _, outputs = work_through(lambda places, number: number in chance)
    assert [output.line for output in outputs["a"]] == list(whole().values())


def test_inputs_that_only_kill_together_are_explained_apart():
    deaths, outputs = work_through(lambda places, _: len(places) > 4)
    assert deaths == 2 * ATTEMPTS + 2
    assert not any(output.is_error for output in outputs["a"])
    assert [output.line.split()[0] for output in outputs["a"]] == [str(i + 1) for i in range(SIZE)]
