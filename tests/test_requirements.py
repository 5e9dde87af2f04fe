import os
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from allennlp_layer_saliency.requirements import KNOW_NUMPY_2, TESTED, check_requirements
from tests import compatibility
from tests.conftest import ROOT

PINNED = {
    "transformers": "4.20.1",
    "huggingface-hub": "0.10.1",
    "setuptools": "80.9.0",
    "numpy": "1.24.4",
    "torch": "1.12.1",
    "spacy": "3.3.3",
}
NEWEST = {
    "transformers": "5.24.0",
    "huggingface-hub": "1.33.0",
    "setuptools": "80.10.2",
    "numpy": "2.5.5",
    "torch": "2.15.0+cu132",
    "spacy": "3.8.18",
}


@pytest.mark.parametrize("lane", [PINNED, NEWEST, {}])
def test_what_works_passes_without_a_word(lane, caplog):
    check_requirements(lane.get, lambda module: True, mended=True)
    assert not caplog.records


def test_what_is_later_than_tested_is_warned_of_once(caplog):
    later = {**NEWEST, "transformers": "6.0.0", "torch": "2.16.1"}
    check_requirements(later.get, lambda module: True, mended=True)
    (record,) = caplog.records
    assert record.getMessage().startswith("transformers 6.0.0, torch 2.16.1: later than any")


@pytest.mark.parametrize(
    "lane, package, version, wanted",
    [
        (NEWEST, "transformers", "5.0.0rc1", "transformers<4.44"),
        (NEWEST, "transformers", "4.44.0", "transformers<4.44"),
        (PINNED, "huggingface-hub", "1.0.0", "huggingface-hub<1"),
        (PINNED, "numpy", "2.0.2", "numpy<2"),
        ({"torch": "2.15.0", "spacy": "3.7.5"}, "numpy", "2.4.6", "numpy<2"),
    ],
)
def test_what_does_not_is_named_with_the_version_found_and_the_one_wanted(lane, package, version, wanted):
    with pytest.raises(ImportError) as error:
        check_requirements({**lane, package: version}.get, lambda module: True, mended=False)
    assert str(error.value).startswith(f"{package} {version} does not work with AllenNLP 2.10.1")
    assert f": {wanted} is wanted, as " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("version", [None, "82.0.0"])
def test_without_pkg_resources(version):
    lane = {**NEWEST, "setuptools": version}
    with pytest.raises(ImportError, match=re.escape(f"setuptools {version or '(not installed)'} ")):
        check_requirements(lane.get, lambda module: module != "pkg_resources", mended=True)


def test_it_comes_before_allennlp_breaks(tmp_path):
    """As after `pip install -U transformers`: the import's last line is ours."""
    metadata = tmp_path / "transformers-5.1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 5.1.0\n")
    (tmp_path / "allennlp.py").write_text("raise SystemExit('allennlp was imported')\n")
    result = subprocess.run(
        [sys.executable, "-c", "import allennlp_layer_saliency"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
            "ALLENNLP_COMPATIBILITY": "off",
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(
        "ImportError: transformers 5.1.0 does not work with AllenNLP 2.10.1: transformers<4.44 is wanted"
    )


def test_what_is_imported_counts(monkeypatch):
    """Under `allennlp`, whose own imports put folders before others on the path."""
    monkeypatch.setattr("transformers.__version__", "4.46.3")
    with pytest.raises(ImportError, match="^transformers 4.46.3 does not work"):
        check_requirements(mended=False)
    monkeypatch.undo()
    check_requirements(mended=True)


def test_the_documented_versions_are_within_the_bounds():
    lines = (ROOT / "requirements" / "newest.txt").read_text().splitlines()
    given = {r.name: r.specifier for r in map(Requirement, filter(re.compile(r"\w").match, lines))}
    for name, latest in TESTED.items():
        assert given[name].contains(".".join(map(str, latest)))
        assert "<" in str(given[name])
    assert not given["setuptools"].contains("81")
    for name, (major, minor) in KNOW_NUMPY_2.items():
        assert not given[name].contains(f"{major}.{minor - 1}")


def test_the_readmes_table_is_of_versions_like_these():
    """`python -m tests.compatibility` brings it up to date."""
    table = compatibility.rows(compatibility.README.read_text(encoding="utf-8"))
    assert list(table) == list(compatibility.running())
    for name, found in compatibility.running().items():
        stated = table[name][compatibility.COLUMN]
        # What transformers and spaCy change matters; of others any may come out tomorrow.
        numbers = 2 if name in ("transformers", "spacy") else 1
        assert stated.split(".")[:numbers] == found.split(".")[:numbers], name
