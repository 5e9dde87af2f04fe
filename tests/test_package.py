import shutil
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT

PACKAGES = ("allennlp_compatibility", "allennlp_layer_saliency")
HOOK = "allennlp_compatibility.pth"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # Built from a copy: setuptools leaves a build folder behind, and packs what it finds there.
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", HOOK):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        + ["--wheel-dir", str(source / "wheels"), str(source)],
        check=True,
    )
    (path,) = (source / "wheels").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    source = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix == ".py" or path.name == "py.typed" or path.parent.name == "templates"
    }
    assert inside == {HOOK, *source}


def test_its_metadata_pins_what_allennlp_leaves_open(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
    lines = [line.split(": ", 1) for line in wheel.read(name).decode().splitlines() if ": " in line]
    required = {r.name: r.specifier for r in (Requirement(v) for k, v in lines if k == "Requires-Dist")}
    assert required["allennlp"] == required["allennlp-models"] == SpecifierSet("==2.10.1")
    assert required["numpy"] == SpecifierSet("<2")
    assert required["setuptools"] == SpecifierSet("<81")
    assert SpecifierSet(dict(lines)["Requires-Python"]) == SpecifierSet(">=3.8,<3.14")


def test_the_plugin_works_outside_the_checkout(tmp_path, roberta_folder):
    """The documented route: ~/.allennlp/plugins names the module, from any working directory."""
    plugins = tmp_path / "home" / ".allennlp" / "plugins"
    plugins.parent.mkdir(parents=True)
    plugins.write_text("allennlp_layer_saliency\n")
    code = (
        "from allennlp.common.plugins import import_plugins; import_plugins(); "
        "from allennlp.predictors import Predictor; print(Predictor.by_name('saliency').__name__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={
            "HOME": str(tmp_path / "home"),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HF_HUB_OFFLINE": "1",
        },
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert result.stdout.splitlines()[-1] == "SaliencyPredictor"
