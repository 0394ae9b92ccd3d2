"""One brain for the session, with the real model and embedder, and the test site beside it."""

from collections.abc import Iterator

import pytest

from omeruta import Brain
from support.brain import RunningBrain
from support.real_pages import crawl_variables
from support.site import ExampleSite


@pytest.fixture(scope="session")
def site() -> Iterator[ExampleSite]:
    with ExampleSite() as running:
        yield running


@pytest.fixture(scope="session")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBrain]:
    running = RunningBrain(tmp_path_factory.mktemp("brain") / "home", **crawl_variables())
    running.up()
    yield running
    running.down()


@pytest.fixture(scope="session")
def client(brain: RunningBrain) -> Iterator[Brain]:
    with brain.client() as connected:
        yield connected
