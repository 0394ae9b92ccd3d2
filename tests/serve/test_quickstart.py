"""The notebook runs from top to bottom against the brain, and the command line does what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from support.brain import RunningBrain
from support.site import ExampleSite

pytestmark = [pytest.mark.serve, pytest.mark.timeout(240)]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_quickstart.ipynb"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook machinery itself
def test_the_quickstart_notebook_runs(
    brain: RunningBrain, site: ExampleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMERUTA_URL", brain.url)
    monkeypatch.setenv("OMERUTA_TOKEN", brain.token)
    monkeypatch.setenv("OMERUTA_QUICKSTART_SITE", f"{site.url}/news/")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "23 nautical miles" in shown
    assert "211 steps" in shown
    assert "pages stored of" in shown


def omeruta(brain: RunningBrain, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {"OMERUTA_URL": brain.url, "OMERUTA_HOME": str(brain.home), "NO_COLOR": "1"}
    return subprocess.run(
        [str(Path(sys.executable).with_name("omeruta")), *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_line(brain: RunningBrain, site: ExampleSite) -> None:
    crawled = omeruta(brain, "crawl", f"{site.url}/guides/", "--max-pages", "60")
    assert crawled.returncode == 0, crawled.stderr
    assert "pages stored" in crawled.stdout
    asked = omeruta(brain, "ask", "How long does the battery of the river gauge last without sun?")
    assert asked.returncode == 0, asked.stderr
    assert "19 days" in asked.stdout
    assert "/guides/river-gauge" in asked.stdout
    for words in (["status"], ["token"], ["search", "gauge"], ["pages", "list"], ["tasks", "list"]):
        done = omeruta(brain, *words)
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout.strip(), words
    assert omeruta(brain, "token").stdout.strip() == brain.token
    wrong = omeruta(brain, "crawl", "ftp://example.org/")
    assert wrong.returncode == 1
    assert wrong.stderr.strip().endswith(".")
    assert "Traceback" not in wrong.stderr
