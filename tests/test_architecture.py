"""The package's parts know only what lies below them."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "allennlp_layer_saliency"
# From the bottom up: a module may import from its own level and from those before it.
LEVELS = (
    ("core", "byte_level"),
    ("display", "files", "output_line", "provenance", "requirements", "results_folder", "version"),
    ("models",),
    ("dataset_readers",),
    ("data",),
    ("interpreters",),
    ("predictors",),
    ("evaluation",),
    ("runs",),
    ("summary",),
    ("reports", "export"),
    ("server",),
    ("commands",),
)


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def level(part: str) -> int:
    return next(i for i, parts in enumerate(LEVELS) if part in parts)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_go_one_way(path):
    part = path.relative_to(PACKAGE).parts[0].replace(".py", "")
    if part == "__init__":
        return
    for name in imports(path):
        pieces = name.split(".")
        if pieces[0] == PACKAGE.name and len(pieces) > 1:
            assert level(pieces[1]) <= level(part), f"{part} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda p: p.name)
def test_the_core_needs_torch_only(path):
    standard = {"contextlib", "dataclasses", "hashlib", "math", "random", "typing"}
    for name in imports(path):
        known = {"torch", "numpy", PACKAGE.name} | standard
        assert name.split(".")[0] in known, f"core imports {name}"


def private_attributes(path: Path):
    """Private attributes of other objects that a module uses, by dot or by `getattr`."""
    for node in ast.walk(ast.parse(path.read_text())):
        name = None
        if isinstance(node, ast.Attribute):
            owner = node.value
            inherited = owner.func if isinstance(owner, ast.Call) else owner  # super()
            own = isinstance(inherited, ast.Name) and inherited.id in ("self", "cls", "super")
            name = None if own else node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in ("getattr", "hasattr", "setattr") and len(node.args) > 1:
                name = getattr(node.args[1], "value", None)
        if isinstance(name, str) and name.startswith("_") and not name.startswith("__"):
            yield name


# Not AllenNLP's: the hub name in a configuration, a method of named tuples, the type of argparse's parsers.
PUBLIC_ENOUGH = {"_asdict", "_name_or_path", "_replace", "_SubParsersAction"}
ELSEWHERE = ("models/allennlp/", "models/huggingface/", "core/capture.py")


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_private_attributes_of_allennlp_are_used_in_one_module(path):
    if not path.relative_to(PACKAGE).as_posix().startswith(ELSEWHERE):
        assert set(private_attributes(path)) <= PUBLIC_ENOUGH


def test_private_attributes_are_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("self._own\nmodel._a\nmodel.b._c\ngetattr(model, '_d', None)\nx.__dict__\n")
    assert sorted(private_attributes(path)) == ["_a", "_c", "_d"]


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_files_and_constructors_stay_small(path):
    assert len(path.read_text().splitlines()) <= 350
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = node.args.args[1:] + node.args.kwonlyargs
            assert len(arguments) <= 8, f"line {node.lineno}"


def test_hooks_live_in_one_module():
    users = [p.name for p in PACKAGE.rglob("*.py") if "register_forward" in p.read_text()]
    assert users == ["capture.py"]
