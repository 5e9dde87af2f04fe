import csv
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from allennlp.commands import main

from allennlp_layer_saliency.export import read_run, to_frame
from allennlp_layer_saliency.reports import page
from tests.conftest import ROOT

TEXTS = [json.loads(line) for line in (ROOT / "fixtures" / "sst2_sample.jsonl").open()]
DECODED = {"type": "decoded-layer-saliency", "layer": 3, "decoded_top_k": 2}


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run `allennlp saliency run`: its exit status, what it printed, and the last line of its complaints."""
    monkeypatch.chdir(ROOT)
    made = {}

    def run(folder, *flags, package=None, **config):
        made.update(config)
        path = tmp_path / "config.jsonnet"
        path.write_text(json.dumps(configuration(tmp_path, **made)))
        # What AllenNLP's own option of this name imports, workers are to import too.
        packages = ["--include-package", package] if package else []
        arguments = ["saliency", *packages, "run", str(path), "-s", str(tmp_path / folder), *flags]
        monkeypatch.setattr("sys.argv", ["allennlp", *arguments])
        status = 0
        try:
            main()
        except SystemExit as error:
            status = error.code
        printed = capsys.readouterr()
        complaints = [line for line in printed.err.splitlines() if "allennlp saliency" in line]
        return status, printed.out, complaints[-1] if complaints else ""

    return run


def configuration(tmp_path, **changed):
    data = tmp_path / "data.jsonl"
    if not data.exists():
        data.write_text("".join(json.dumps(text) + "\n" for text in TEXTS))
    return {
        "archive_file": "fixtures/sst2-classifier.tar.gz",
        "data": {"path": str(data)},
        "interpreters": {"decoded": DECODED},
        "shard_size": 8,
        **changed,
    }


def contents(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def explanations(path, name="decoded"):
    return list(read_run(str(path))[name])


def test_a_run_gives_what_predict_gives(run, tmp_path, monkeypatch):
    both = {"decoded": DECODED, "simple": "simple-gradient"}
    status, out, _ = run("out", interpreters=both, limit=11)
    assert status == 0 and out.endswith("11 texts in 2 shards\n")
    (tmp_path / "11.jsonl").write_text("".join(json.dumps(text) + "\n" for text in TEXTS[:11]))
    for name, interpreter in both.items():
        arguments = ["predict", "fixtures/sst2-classifier.tar.gz", str(tmp_path / "11.jsonl")]
        arguments += ["--predictor", "saliency", "--batch-size", "8", "--silent"]
        arguments += ["--predictor-args", json.dumps({"interpreter": interpreter})]
        arguments += ["--output-file", str(tmp_path / "predicted.jsonl")]
        monkeypatch.setattr("sys.argv", ["allennlp", *arguments])
        main()
        shards = sorted((tmp_path / "out" / "explanations" / name).iterdir())
        assert "".join(shard.read_text() for shard in shards) == (tmp_path / "predicted.jsonl").read_text()
    assert "0.1.0" in json.loads((tmp_path / "out" / "manifest.json").read_text())["versions"].values()


def test_reports_and_export_read_it_in_either_format(run, tmp_path):
    run("lines", limit=11)
    run("parquet", limit=11, format="parquet")
    assert explanations(tmp_path / "lines") == explanations(tmp_path / "parquet")
    frame = to_frame(explanations(tmp_path / "parquet"))
    assert frame["line"].nunique() == 11 and frame["gold_label"].notna().all()
    assert page.page([str(tmp_path / "lines")]) != ""


def written(path, kind):
    rows = [{**text, "id": str(i)} for i, text in enumerate(TEXTS[:5])]
    fields = list(rows[0])
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return
    form = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None}
    text_file = gzip.open if path.suffix == ".gz" else open
    with text_file(path, "wt", encoding="utf-8", newline="") as file:
        if kind == "jsonl":
            file.write("".join(json.dumps(row) + "\n" for row in rows))
        else:
            writer = csv.DictWriter(file, fields, **(form if kind == "tsv" else {}))
            writer.writeheader()
            writer.writerows(rows)


def test_forms_of_data(run, tmp_path):
    found = []
    for name in ("a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.tsv", "a.parquet"):
        written(tmp_path / name, name.split(".")[1])
        status, _, complaint = run(f"out-{name}", data={"path": str(tmp_path / name)})
        assert status == 0, complaint
        found.append(explanations(tmp_path / f"out-{name}"))
    assert [line["id"] for line in found[0]] == ["0", "1", "2", "3", "4"]
    assert all(lines == found[0] for lines in found)


def test_readers(run, tmp_path):
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\na good film\t1\nbad\t0\n")
    run("ours", data={"path": str(tmp_path / "dev.tsv"), "reader": "sst2_tsv"})
    assert [line["gold_label"] for line in explanations(tmp_path / "ours")] == [
        "positive",
        "negative",
    ]
    lines = [{"text": "a good film", "label": "positive"}, {"text": "", "label": "negative"}]
    (tmp_path / "dev.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = "fixtures/sst-roberta-mlm"
    reader = {
        "type": "text_classification_json",
        "tokenizer": {"type": "pretrained_transformer", "model_name": folder},
        "token_indexers": {"tokens": {"type": "pretrained_transformer", "model_name": folder}},
    }
    status, _, _ = run("other", data={"path": str(tmp_path / "dev.jsonl"), "reader": reader})
    first, second = explanations(tmp_path / "other")
    instance, ours = first["saliency"], explanations(tmp_path / "ours")[0]["saliency"]
    for key in ("tokens_1", "offsets_1"):
        assert instance["instance_1"][key] == ours["instance_1"][key]
    assert status == 1 and second["line"] == 2 and "text is empty" in second["error"]


def test_bad_inputs_are_recorded_and_counted(run, tmp_path):
    (tmp_path / "bad.jsonl").write_bytes(
        b'{"sentence": "good", "id": 1}\n\n{"id": 2}\n[1]\n{"sentence": "\xff"}\n'
        b'{"sentence": "bad", "id": NaN}\n{"sentence": "fine"}\n'
    )
    status, out, complaint = run("out", data={"path": str(tmp_path / "bad.jsonl")})
    assert (status, out.split(": ")[1]) == (1, "6 texts in 1 shard\n")
    assert complaint == (
        'allennlp saliency: could not be explained: 4 by decoded; their lines have an "error"'
    )
    lines = explanations(tmp_path / "out")
    assert ["saliency" in line for line in lines] == [True, False, False, False, False, True]
    assert lines[1] == {
        "id": 2,
        "line": 3,
        "error": "the line has no field 'sentence'; it has 'id'",
    }
    assert [line["line"] for line in lines[2:5]] == [4, 5, 6]
    # A finished run says so again.
    before = contents(tmp_path / "out")
    assert run("out") == (status, out, complaint) and contents(tmp_path / "out") == before


def test_bad_rows_of_tables(run, tmp_path):
    (tmp_path / "a.csv").write_bytes(
        b'\xef\xbb\xbfsentence,id\n"good, ""really""",1\nbad\n\n\xff,3\n' + b"a" * 140_000 + b",4\nfine,5\n"
    )
    status, _, _ = run("out", data={"path": str(tmp_path / "a.csv")})
    lines = explanations(tmp_path / "out")
    assert status == 1
    assert [line.get("error") for line in lines] == [
        None,
        "not a valid row: 2 columns are wanted; there are 1",
        "not a valid row: it is not UTF-8",
        "not a valid row: field larger than field limit (131072)",
        None,
    ]
    assert [line.get("line") for line in lines[1:4]] == [3, 5, 6]
    assert (lines[0]["id"], lines[4]["id"]) == ("1", "5")


def test_a_file_that_is_cut_off_keeps_what_came_before(run, tmp_path):
    whole = gzip.compress("".join(json.dumps(text) + "\n" for text in TEXTS * 9).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    status, _, complaint = run("out", data={"path": str(tmp_path / "cut.jsonl.gz")})
    assert status == 1 and "cut.jsonl.gz is damaged or cut off" in complaint


@pytest.mark.parametrize(
    "flags, config, message",
    [
        ((), {"interpreters": {}}, "interpreters: at least one is wanted"),
        ((), {"interpreters": {"../up": "random"}}, "'../up' is to name a folder"),
        ((), {"interpreters": {"a": "none"}}, "no interpreter is registered as 'none'"),
        ((), {"data": {"path": "nowhere"}}, "data: no file nowhere"),
        ((), {"archive_file": "nowhere"}, "archive_file: no archive at nowhere"),
        ((), {"format": "xml"}, "format: one of jsonl, parquet is wanted; got 'xml'"),
        ((), {"threads": 0}, "threads must be at least 1; got 0"),
        (("--shard-size", "0"), {}, "shard_size must be at least 1; got 0"),
        (("--address", "auto"), {}, "--address and --gpus-per-worker need --workers"),
        (("--workers", "0"), {}, "--workers must be at least 1; got 0"),
        (("--workers", "1", "--cuda-device", "0"), {}, "give workers GPUs by --gpus-per-worker"),
    ],
)
def test_mistakes(run, flags, config, message, tmp_path):
    status, _, complaint = run("out", *flags, **config)
    assert status == 1 and message in complaint
    assert not (tmp_path / "out").exists()


def test_what_changed_is_refused_until_told_to_start_over(run, tmp_path):
    run("out", limit=9)
    before = contents(tmp_path / "out")
    with (tmp_path / "data.jsonl").open("a") as data:
        data.write('{"sentence": "one more"}\n')
    status, _, complaint = run("out", "--limit", "8")
    assert status == 1 and "config: limit, 9 there, 8 now" in complaint
    assert "input: sha256" in complaint and "--force" in complaint
    assert contents(tmp_path / "out") == before
    status, out, _ = run("out", "--limit", "8", "--force")
    assert status == 0 and "8 texts in 1 shard" in out
    assert sorted(contents(tmp_path / "out")) == [
        "explanations/decoded/000000.jsonl",
        "manifest.json",
    ]


def test_a_changed_interpreter_file_is_noticed(run, tmp_path):
    (tmp_path / "i.json").write_text(json.dumps(DECODED))
    run("out", limit=2, interpreters={"decoded": str(tmp_path / "i.json")})
    (tmp_path / "i.json").write_text(json.dumps({**DECODED, "layer": 2}))
    status, _, complaint = run("out")
    assert status == 1 and "config: interpreters" in complaint


def test_a_folder_that_cannot_be_written_to(run, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, complaint = run("file/out")
    assert status == 1 and "Not a directory" in complaint


def test_without_ray_workers_are_refused(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, complaint = run("out", "--workers", "2")
    assert status == 1
    assert complaint == ("allennlp saliency: workers need Ray: pip install 'allennlp-layer-saliency[ray]'")


def test_a_cluster_that_is_not_there(run):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    status, _, complaint = run("out", "--workers", "1", "--address", address)
    assert status == 1
    assert complaint.startswith(f"allennlp saliency: Ray at {address}: nothing answers there")


@pytest.mark.parametrize("number, status", [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stopped_run_goes_on(run, tmp_path, number, status):
    """The driver is stopped after the first shard; then the same command makes the same folder."""
    data = tmp_path / "many.jsonl"
    data.write_text("".join(json.dumps(text) + "\n" for text in TEXTS * 6))
    config = {"data": {"path": str(data)}, "interpreters": {"layer": "layer-saliency"}}
    run("undisturbed", **config)
    command = [
        sys.executable,
        "-m",
        "allennlp",
        "saliency",
        "run",
        str(tmp_path / "config.jsonnet"),
    ]
    # Not a pipe, which nobody would empty in the meantime.
    with (tmp_path / "complaints").open("w") as file:
        process = subprocess.Popen(
            [*command, "-s", str(tmp_path / "out")],
            cwd=ROOT,
            stderr=file,
            text=True,
            # A shell's background jobs, and what they start, ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    progress = tmp_path / "out" / "progress.jsonl"
    while process.poll() is None and not (progress.exists() and progress.read_text().endswith("\n")):
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait() == status
    complaints = (tmp_path / "complaints").read_text()
    if number == signal.SIGINT:
        assert "the same command, without --force, goes on" in complaints.splitlines()[-1]
        assert "Traceback" not in complaints
        assert not list((tmp_path / "out").rglob("*.tmp"))
    assert progress.exists() and "shards" not in json.loads((tmp_path / "out" / "manifest.json").read_text())
    done = {path: os.stat(path).st_mtime_ns for path in (tmp_path / "out").rglob("*.jsonl")}
    assert run("out")[0] == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")
    # What was done was not done again.
    first = tmp_path / "out" / "explanations" / "layer" / "000000.jsonl"
    assert first.stat().st_mtime_ns == done[first]
