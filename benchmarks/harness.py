"""A brain of its own for a benchmark: own data folder, own ports, started and stopped as a person would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from deployments.lifecycle import brain_processes
from serve_app.settings import Settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class BrainUnderTest:
    """Variables given win over the defaults here, and these over the caller's environment."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.port = free_port()
        self.variables = {
            "OMERUTA_HOME": str(home),
            "OMERUTA_MODELS": str(Settings().models_dir),  # got by `make models`, shared
            "OMERUTA_SERVE__PORT": str(self.port),
            "OMERUTA_SERVE__DASHBOARD_PORT": str(free_port()),
            "OMERUTA_LIMITS__REQUESTS_PER_MINUTE": "100000",
            **variables,
        }

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/agent/"

    @property
    def token(self) -> str:
        return (self.home / "owner-token").read_text().strip()

    def up(self) -> str:
        return self._lifecycle("up")

    def down(self) -> str:
        return self._lifecycle("down")

    def _lifecycle(self, action: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "deployments.lifecycle", action],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"`{action}` failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """All of this brain's processes; none when it does not run."""
        return brain_processes(Settings(home=self.home))
