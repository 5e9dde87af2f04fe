import errno
import json

import pytest
from allennlp.common.checks import ConfigurationError

from allennlp_layer_saliency.data import Input
from allennlp_layer_saliency.runs.explainer import Output, Shard
from allennlp_layer_saliency.runs.folder import RunFolder, read_run

KNOWN = {"config": {"interpreters": {"a": {}}, "limit": 7}, "model": {"sha256": "0"}}


def shard(number):
    return Shard(number, [Input(2 * number + 1, b"{}"), Input(2 * number + 2, b"{}")])


def outputs(number):
    lines = [{"id": 2 * number, "label": "x"}, {"line": 2 * number + 2, "error": "none"}]
    return {"a": [Output(json.dumps(line) + "\n", "error" in line) for line in lines]}


def opened(path, format="jsonl", force=False, **known):
    folder = RunFolder(str(path), ["a"], format, {**KNOWN, **known}, force)
    folder.close()  # as the process's end does
    return folder


def contents(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture(params=["jsonl", "parquet"])
def undisturbed(request, tmp_path):
    folder = opened(tmp_path / "undisturbed", request.param)
    for number in range(3):
        folder.add(shard(number), outputs(number))
    folder.finish()
    return request.param, contents(tmp_path / "undisturbed")


def test_a_folder_has_the_same_bytes_whatever_the_order_and_the_interruptions(undisturbed, tmp_path):
    format, expected = undisturbed
    path = tmp_path / "out"
    opened(path, format).add(shard(2), outputs(2))
    # What a process leaves that is killed in the middle of a write.
    (path / "explanations" / "a" / f"000001.{format}.tmp").write_bytes(b"{")
    (path / "explanations" / "a" / f"000000.{format}").write_bytes(b"written, but not yet counted")
    with open(path / "progress.jsonl", "a") as progress:
        progress.write('{"shard": 1, "te')
    folder = opened(path, format)
    assert [number in folder for number in range(3)] == [False, False, True]
    assert not list(path.rglob("*.tmp")) and not folder.finished
    folder.add(shard(1), outputs(1))
    folder = opened(path, format)
    assert [number in folder for number in range(3)] == [False, True, True]
    folder.add(shard(0), outputs(0))
    folder.finish()
    assert contents(path) == expected
    assert opened(path, format).finished
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["texts"] == 6 and manifest["errors"] == {"a": 3}
    entry = {"shard": 1, "first": 3, "texts": 2, "errors": {"a": 1}}
    assert manifest["shards"][1] == entry


def test_explanations_in_the_inputs_order(undisturbed, tmp_path):
    found = {name: list(lines) for name, lines in read_run(str(tmp_path / "undisturbed")).items()}
    expected = [json.loads(output.line) for n in range(3) for output in outputs(n)["a"]]
    assert found == {"a": expected}
    with pytest.raises(ConfigurationError, match="has no manifest.json; make it with"):
        read_run(str(tmp_path))


def test_columns_of_parquet(tmp_path):
    import pyarrow.parquet

    opened(tmp_path, "parquet").add(shard(4), outputs(4))
    table = pyarrow.parquet.read_table(tmp_path / "explanations" / "a" / "000004.parquet")
    rows = table.to_pylist()
    assert [(row["line"], row["id"], row["label"], row["error"]) for row in rows] == [
        (9, "8", "x", None),
        (10, None, None, "none"),
    ]


def test_a_lost_file_is_made_again(undisturbed, tmp_path):
    format, _ = undisturbed
    (tmp_path / "undisturbed" / "explanations" / "a" / f"000001.{format}").unlink()
    folder = opened(tmp_path / "undisturbed", format)
    assert not folder.finished and 1 not in folder and 2 in folder


def test_another_run_is_refused_with_what_differs(tmp_path):
    opened(tmp_path, model={"sha256": "came to nothing"})
    opened(tmp_path).add(shard(0), outputs(0))
    (tmp_path / "notes.txt").write_text("not ours")
    with pytest.raises(ConfigurationError, match='limit, 7 there, 8 now.*sha256, "0" there, "1" now'):
        opened(tmp_path, config={"interpreters": {"a": {}}, "limit": 8}, model={"sha256": "1"})
    with pytest.raises(ConfigurationError, match='format, "jsonl" there, "parquet" now'):
        opened(tmp_path, "parquet")
    assert 0 in opened(tmp_path)
    folder = opened(tmp_path, "parquet", force=True)
    assert 0 not in folder
    assert sorted(contents(tmp_path)) == ["manifest.json", "notes.txt"]
    (tmp_path / "manifest.json").write_text('{"name": "of something else"}')
    with pytest.raises(ConfigurationError, match="is not of allennlp saliency run"):
        opened(tmp_path, force=True)


def test_one_process_at_a_time(tmp_path):
    with RunFolder(str(tmp_path), ["a"], "jsonl", KNOWN):
        with pytest.raises(ConfigurationError, match="another process is writing to this folder"):
            opened(tmp_path)
    opened(tmp_path)


@pytest.mark.parametrize("at", ["open", "fsync", "replace"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, at):
    folder = opened(tmp_path)
    folder.add(shard(0), outputs(0))
    before = contents(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if at == "open":
        monkeypatch.setattr("allennlp_layer_saliency.files.open", full, raising=False)
    else:
        monkeypatch.setattr(f"allennlp_layer_saliency.files.os.{at}", full)
    with pytest.raises(OSError, match="No space left"):
        folder.add(shard(1), outputs(1))
    assert contents(tmp_path) == before
    monkeypatch.undo()
    assert 1 not in opened(tmp_path)
