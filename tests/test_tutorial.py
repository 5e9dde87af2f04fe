"""docs/tutorial.ipynb, run as it stands."""

import nbformat
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def test_the_notebook_finds_the_planted_word():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = [cell.get("outputs", []) for cell in notebook.cells]
    NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    (suspects,) = [cell for cell in notebook.cells if "suspects[[" in cell.source]
    (table,) = suspects.outputs
    first = table["data"]["text/plain"].splitlines()[1].split()
    assert first[1] in ("zeroa", "onea")
    # The label without the word is another.
    *_, proof = [cell for cell in notebook.cells if cell.cell_type == "code"]
    before, after = proof.outputs[0]["text"].split(";")
    assert {before.split(",")[0], after.split(":")[1].split(",")[0].strip()} == {"negative", "positive"}
    # What is shown is of a whole run: each cell that prints or draws has done so.
    assert [bool(cell.get("outputs")) for cell in notebook.cells] == [bool(outputs) for outputs in kept]
