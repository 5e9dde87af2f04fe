import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.conftest import BUNDLED, serving

TEXT = {"sentence": "a charming film"}


def test_explains_and_predicts(server):
    status, found = server.post("/explain", texts=TEXT)
    assert status == 200 and found["label"] == "positive"
    status, masked = server.post("/predict", texts=TEXT, masked=[[0, 2, 10]])
    assert status == 200 and masked["probabilities"]["positive"] < found["probabilities"]["positive"]
    status, headers, content = server.request("POST", "/report", {"tries": [{"texts": TEXT}]})
    assert (
        status == 200 and headers["content-type"].startswith("text/html") and b"<article" not in content[:9]
    )
    assert content.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("path", ["/", "/live.js", "/live.css"])
def test_the_page_s_own_files(server, path):
    status, headers, content = server.request("GET", path)
    assert status == 200 and content
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
    ],
)
def test_requests_of_others_are_refused(server, headers):
    status, answered, content = server.request("POST", "/explain", {"texts": TEXT}, **headers)
    assert status == 403 and b"positive" not in content
    if "Content_Type" not in headers:
        assert server.request("GET", "/", **headers)[0] == 403


def test_the_page_s_own_requests_are_not(server):
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{server.port}"
        headers = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
        assert server.request("POST", "/explain", {"texts": TEXT}, **headers)[0] == 200
    assert server.request("GET", "/explain")[0] == 405
    assert server.request("GET", "/../setup.py")[0] == 404


@pytest.mark.parametrize(
    "path, body, message",
    [
        ("/explain", b"{", "JSON is wanted"),
        ("/explain", b"[" * 100_000, "JSON"),
        ("/explain", b"[]", "a JSON object is wanted"),
        ("/explain", b" " * 300_000, "a request may have 262,144 bytes"),
        ("/explain", {}, "texts: sentence are wanted"),
        ("/explain", {"texts": {"sentence": 3}}, "a text of at most 20,000 characters"),
        ("/explain", {"texts": {"sentence": "a " * 10_001}}, "a text of at most 20,000 characters"),
        ("/explain", {"texts": {"sentence": "a", "path": "/etc"}}, "texts: sentence are wanted"),
        ("/explain", {"texts": {"sentence": "good " * 2000}}, "word pieces"),
        ("/explain", {"texts": {"sentence": " "}}, "the text is empty"),
        ("/explain", {"texts": {"sentence": "\ud800"}}, "surrogate"),
        ("/explain", {"texts": TEXT, "interpreter": "x"}, "no interpreter 'x'"),
        ("/explain", {"texts": TEXT, "interpreter": ["x"]}, "interpreter: a string is wanted"),
        ("/explain", {"texts": TEXT, "layer": "x"}, "layer: a number"),
        ("/explain", {"texts": TEXT, "target_class": "x"}, "target_class: no class 'x'"),
        ("/predict", {"texts": TEXT, "masked": [[0, 1]]}, "masked: a list of"),
        ("/predict", {"texts": TEXT, "masked": [[0, 1, "x"]]}, "masked: a list of"),
        ("/predict", {"texts": TEXT, "masked": 3}, "masked: a list of"),
        ("/predict", {"texts": TEXT, "masked": [[7, 0, 1]]}, "no word to mask"),
        ("/report", {"tries": []}, "tries: 1 to 50 are wanted"),
        ("/report", {"tries": [3]}, "texts: sentence are wanted"),
        ("/report", {"tries": [{"texts": TEXT}] * 51}, "tries: 1 to 50 are wanted"),
    ],
)
def test_bad_requests(server, path, body, message):
    status, _, content = server.request("POST", path, body, Content_Type="application/json")
    assert status == 422 and message in json.loads(content)["error"]
    assert server.post("/explain", texts=TEXT)[0] == 200


def test_many_at_once(server):
    wanted = server.post("/explain", texts=TEXT)[1]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: server.post("/explain", texts=TEXT), range(50)))
    assert {status for status, _ in answers} <= {200, 503}
    answered = [found for status, found in answers if status == 200]
    assert len(answered) >= 32 and all(found == wanted for found in answered)
    assert all("are waiting already" in found["error"] for status, found in answers if status == 503)


def test_who_leaves_does_not_block_the_others(server):
    body = json.dumps(
        {"texts": {"sentence": "a charming film " * 40}, "interpreter": "decoded, best"}
    ).encode()
    head = (
        f"POST /explain HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + body)
    start = time.monotonic()
    assert server.post("/explain", texts=TEXT)[0] == 200
    assert time.monotonic() - start < 30


def resident(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def test_memory_stays_flat(server):
    def explain(times):
        for n in range(times):
            assert server.post("/explain", texts={"sentence": f"a charming film number {n}"})[0] == 200

    explain(100)
    before = resident(server.process)
    explain(200)
    assert resident(server.process) < before + 6  # MiB


def test_control_c_ends_it_cleanly():
    with serving(BUNDLED) as server:
        assert server.request("GET", "/")[0] == 200
        server.process.send_signal(signal.SIGINT)
        out, err = server.process.communicate(timeout=20)
        assert server.process.returncode == 0
        assert out.strip() == "ended" and "Traceback" not in err


def failing(*arguments, monkeypatch, capsys):
    from allennlp.commands import main

    monkeypatch.setattr("sys.argv", ["allennlp", "saliency", "serve", *map(str, arguments)])
    with pytest.raises(SystemExit) as error:
        main()
    assert error.value.code == 1
    return capsys.readouterr().err.splitlines()[-1]


def test_mistakes_are_one_line(monkeypatch, capsys, tmp_path):
    from tests.conftest import ROOT

    monkeypatch.chdir(ROOT)
    tools = {"monkeypatch": monkeypatch, "capsys": capsys}
    assert "no archive at nowhere" in failing("nowhere", **tools)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} can't be listened on" in failing(BUNDLED, "-p", port, **tools)
    assert "--port must be 0 to 65535; got 70000" in failing(BUNDLED, "-p", "70000", **tools)
    path = tmp_path / "interpreters.jsonnet"
    path.write_text("{")
    assert "is not valid" in failing(BUNDLED, "--interpreters", path, **tools)
    path.write_text("{}")
    assert "names none" in failing(BUNDLED, "--interpreters", path, **tools)
    path.write_text('{"a": "no-such"}')
    assert "interpreters, a: interpreter: no interpreter is registered" in failing(
        BUNDLED, "--interpreters", path, **tools
    )
