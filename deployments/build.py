"""Which code and settings a deploy carries, so that an old TaskManager is told from a new one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("serve_app", "crawler", "deployments")


@dataclass(frozen=True, slots=True)
class Build:
    """`digest` names code and settings; `deployed_at` (Unix seconds) says which of two deploys is the later."""

    digest: str
    deployed_at: float

    def replaces(self, other: Build) -> bool:
        return self.digest != other.digest and self.deployed_at > other.deployed_at


def this_build(settings: Mapping[str, Any]) -> Build:
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    fingerprint.update(code_digest().encode())
    return Build(fingerprint.hexdigest(), time.time())


@cache
def code_digest() -> str:
    """Of every source file that a replica may run, SQL included."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".sql"):
                digest.update(str(path.relative_to(root)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
