"""`allennlp saliency serve` as a process of its own."""

import http.client
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.conftest import ROOT

BUNDLED = "fixtures/sst2-classifier.tar.gz"


class Server:
    def __init__(self, process, port):
        self.process = process
        self.port = port

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def request(self, method, path, body=None, **headers):
        """Status, headers and content of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Host": f"127.0.0.1:{self.port}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def post(self, path, **body):
        status, _, content = self.request("POST", path, body)
        return status, json.loads(content)


@contextmanager
def serving(archive, *flags):
    command = [sys.executable, "-W", "ignore", "-m", "allennlp", "saliency", "serve", archive, "-p", "0"]
    process = subprocess.Popen(
        [*command, *flags], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        found = re.match(r"http://[^/]*:(\d+)/", line)
        assert found, line + process.stderr.read()
        yield Server(process, int(found.group(1)))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def server():
    with serving(BUNDLED) as server:
        yield server
