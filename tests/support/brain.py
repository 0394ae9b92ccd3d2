"""A real brain for tests: that of the benchmarks, with the crawler let onto loopback, and a way to kill."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import httpx
import psutil

from benchmarks.harness import BrainUnderTest
from omeruta import Brain


class RunningBrain(BrainUnderTest):
    """`kill(title)` ends processes by what Ray titles them (`ray::TaskManager`)."""

    def __init__(self, home: Path, **variables: str) -> None:
        super().__init__(
            home,
            **{
                "OMERUTA_CRAWL__ALLOW_NETWORKS": '["127.0.0.0/8"]',
                "OMERUTA_CRAWL__HOST_DELAY": "0",
                "OMERUTA_TASKS__RETRY_BASE": "0.2",
                **variables,
            },
        )

    def run(self, *command: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def client(self, token: str | None = None) -> Brain:
        return Brain(self.url, token or self.token)

    def http(self, token: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def titled(self, title: str) -> list[psutil.Process]:
        """Its processes whose command line, which Ray sets to a title, contains `title`."""
        found = []
        for process in self.processes():
            try:
                if title in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, title: str) -> list[int]:
        """SIGKILL; answers the process ids, of which there is at least one."""
        victims = self.titled(title)
        assert victims, f"no process titled {title}"
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        return [victim.pid for victim in victims]
