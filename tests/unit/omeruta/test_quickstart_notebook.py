"""The notebook as it is committed. It is executed against a running brain in tests/serve."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat

from omeruta import Brain

PATH = Path(__file__).parents[3] / "notebooks" / "01_quickstart.ipynb"


def test_the_notebook_is_valid_and_committed_without_outputs() -> None:
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 8
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_its_cells_compile_and_call_what_is_there() -> None:
    cells = json.loads(PATH.read_text())["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            compile(source, cell["id"], "exec")
            for method in re.findall(r"\bbrain\.(\w+)\(", source):
                assert hasattr(Brain, method), method
