"""The commands as a user calls them."""

import json

import pytest
from allennlp.commands import main

from tests.conftest import ROOT


@pytest.fixture
def saliency(monkeypatch, tmp_path, capsys):
    """
    Run `allennlp saliency COMMAND` with flags on a configuration, in the repository's root; what it wrote
    to the results' file, and on screen.
    """
    monkeypatch.chdir(ROOT)

    def saliency(command, results, config, folder, *flags):
        path = tmp_path / "config.jsonnet"
        path.write_text(json.dumps({key: value for key, value in config.items() if value}))
        arguments = ["saliency", command, str(path), "-s", str(tmp_path / folder), *flags]
        monkeypatch.setattr("sys.argv", ["allennlp", *arguments])
        main()
        found = json.loads((tmp_path / folder / results).read_text())
        return found, capsys.readouterr().out

    return saliency


@pytest.fixture
def failure(capsys):
    """The one line with which a run fails."""

    def failure(run, *flags, **config):
        with pytest.raises(SystemExit) as error:
            run(*flags, **config)
        assert error.value.code == 1
        return capsys.readouterr().err.splitlines()[-1]

    return failure
