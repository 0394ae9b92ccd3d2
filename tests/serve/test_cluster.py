"""serve_config.yaml on a head and two workers of this machine, one with a pretend GPU: each part where it belongs."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.harness import free_port
from deployments import lifecycle
from deployments.environment import ray_environment
from serve_app.settings import ServeSettings, Settings
from support.brain import RunningBrain

pytestmark = [pytest.mark.serve, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


class Cluster:
    def __init__(self, home: Path) -> None:
        self.settings = Settings(
            home=home,
            models=Settings().models_dir,
            serve=ServeSettings(port=free_port(), dashboard_port=free_port()),
        )
        self.home = home
        self.nodes_started: list[subprocess.Popen[bytes]] = []
        variables = {
            "OMERUTA_HOME": str(home),
            "OMERUTA_MODELS": str(self.settings.models_dir),
            "OMERUTA_SERVE__PORT": str(self.settings.serve.port),
            "OMERUTA_SERVE__DASHBOARD_PORT": str(self.settings.serve.dashboard_port),
        }
        subprocess.run(
            [sys.executable, "-m", "deployments.lifecycle", "head"],
            env={**os.environ, **variables},
            check=True,
            capture_output=True,
        )
        running = lifecycle.RunFile(self.settings).read()
        assert running is not None
        self.running = running
        self.environment = {
            **os.environ,
            **ray_environment(self.settings),
            lifecycle.MARK: self.running["brain_id"],
            "OMERUTA_MODELS": str(self.settings.models_dir),
        }

    def get(self, path: str) -> dict[str, Any]:
        """From the dashboard."""
        token = self.settings.ray_token_path.read_text()
        answer = httpx.get(
            self.environment["RAY_DASHBOARD_ADDRESS"] + path,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def applications(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/api/serve/applications/")["applications"]
        return found

    def wait(self, what: str, seconds: float = 120) -> None:
        """Until the dashboard answers, or the application named runs."""
        give_up = time.monotonic() + seconds
        state: Any = None
        while time.monotonic() < give_up:
            try:
                state = self.applications()
            except httpx.HTTPError as error:
                state = error
            else:
                if what == "dashboard" or state.get(what, {}).get("status") == "RUNNING":
                    return
            time.sleep(0.5)
        raise AssertionError(state)

    def add_node(self, pool: str, *arguments: str) -> None:
        """Start a node and wait until it has joined: two that start at once starve each other on two cores."""
        with open(self.home / "nodes.log", "ab") as log:
            node = subprocess.Popen(
                [
                    RAY,
                    "start",
                    f"--address={self.running['gcs']}",
                    "--block",
                    "--num-cpus=2",
                    f"--dashboard-agent-listen-port={free_port()}",
                    f"--labels=omeruta/pool={pool}",
                    *arguments,
                ],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.nodes_started.append(node)
        give_up = time.monotonic() + 120
        while pool not in self.nodes().values():
            assert time.monotonic() < give_up, (self.home / "nodes.log").read_text()
            time.sleep(0.5)

    def end(self) -> None:
        lifecycle.down(self.settings, lambda line: None)
        for node in self.nodes_started:
            node.wait(30)

    def nodes(self) -> dict[str, str]:
        """Node id -> its pool, `head` for the head."""
        found = self.get("/nodes?view=summary")["data"]["summary"]
        return {
            node["raylet"]["nodeId"]: node["raylet"]["labels"].get("omeruta/pool", "head")
            for node in found
            if node["raylet"].get("state") == "ALIVE"
        }


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster") / "home")
    try:
        yield made
    finally:
        made.end()


def config(cluster: Cluster, tmp_path: Path) -> Path:
    """The very file, with this machine's free ports and a home of its own."""
    content = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    content["http_options"]["port"] = cluster.settings.serve.port
    content["applications"][0]["args"]["home"] = str(cluster.settings.home)
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_every_deployment_lands_where_it_should(
    brain: RunningBrain, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.wait("dashboard")
    cluster.add_node("cpu")
    cluster.add_node("gpu", "--num-gpus=1")
    nodes = cluster.nodes()
    done = subprocess.run(
        [str(Path(RAY).with_name("serve")), "deploy", str(config(cluster, tmp_path))],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cluster.wait("brain", 240)

    deployments = cluster.applications()["brain"]["deployments"]
    landed = {
        name: {nodes[replica["node_id"]] for replica in deployment["replicas"]}
        for name, deployment in deployments.items()
    }
    assert landed == {
        "Brain": {"head"},
        "Knowledge": {"head"},
        "LLM": {"gpu"},
        "Orchestrator": {"cpu"},
        "Embedder": {"cpu"},
        "Crawler": {"cpu"},
    }
    base = f"http://127.0.0.1:{cluster.settings.serve.port}"
    token = cluster.settings.owner_token_path.read_text().strip()
    answer = httpx.post(
        f"{base}/api/agents/tinyllama/chat/",
        json={"message": "How do I add a website?"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    )
    assert answer.status_code == 200
    assert answer.json()["sources"]

    # Two Rays run on this machine now. Ending one leaves the other as it was.
    others = {process.pid for process in brain.titled("ray::")}
    cluster.end()
    assert others <= {process.pid for process in brain.titled("ray::")}
    with brain.client() as client:
        assert client.health().ready


def test_cluster_yaml_is_what_ray_up_accepts() -> None:
    code = (
        "import yaml\n"
        "from ray.autoscaler._private.util import prepare_config, validate_config\n"
        "validate_config(prepare_config(yaml.safe_load(open('cluster.yaml'))))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    pools = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    assert {pool["labels"]["omeruta/pool"] for pool in pools.values()} == {"head", "cpu", "gpu"}
