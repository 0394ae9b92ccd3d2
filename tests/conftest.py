"""What holds for all tests."""

import shutil

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where no Chromium is installed, the tests that look at the page say so and are left out."""
    if shutil.which("chromium") is not None:
        return
    absent = pytest.mark.skip(reason="needs Chromium (Debian: apt install chromium)")
    for item in items:
        if item.get_closest_marker("browser") is not None:
            item.add_marker(absent)
