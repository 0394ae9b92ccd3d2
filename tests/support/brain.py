"""A real brain for tests: its own Ray head, data folder and ports, started and stopped as a person would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil

from deployments.lifecycle import RunFile, _processes
from omeruta import Brain
from serve_app.settings import Settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RunningBrain:
    """`up()` and `down()` run the command line; `kill(title)` ends processes by what Ray titles them."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.port = free_port()
        models = Settings().models_dir  # got by `make models`, shared by all test brains
        self.variables = {
            "OMERUTA_HOME": str(home),
            "OMERUTA_MODELS": str(models),
            "OMERUTA_SERVE__PORT": str(self.port),
            "OMERUTA_SERVE__DASHBOARD_PORT": str(free_port()),
            "OMERUTA_CRAWL__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "OMERUTA_CRAWL__HOST_DELAY": "0",
            "OMERUTA_TASKS__RETRY_BASE": "0.2",
            "OMERUTA_LIMITS__REQUESTS_PER_MINUTE": "100000",
            **variables,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.home / "owner-token").read_text().strip()

    def run(self, *command: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def up(self) -> str:
        done = self.run(sys.executable, "-m", "deployments.lifecycle", "up")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def down(self) -> str:
        done = self.run(sys.executable, "-m", "deployments.lifecycle", "down")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def client(self, token: str | None = None) -> Brain:
        return Brain(self.url, token or self.token)

    def http(self, token: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def processes(self, title: str = "") -> list[psutil.Process]:
        """Those of this brain whose title or command line contains `title`."""
        settings = Settings(home=self.home)
        running: dict[str, Any] | None = RunFile(settings).read()
        assert running is not None, "this brain was never started"
        found = []
        for process in _processes(settings, running["brain_id"]):
            try:
                if title in " ".join(process.cmdline()) or title in process.name():
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, title: str) -> list[int]:
        """SIGKILL; answers the process ids, of which there is at least one."""
        victims = self.processes(title)
        assert victims, f"no process named {title}"
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        return [victim.pid for victim in victims]
