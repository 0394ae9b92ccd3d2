"""What every replica does first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from deployments.environment import require_token_mode
from serve_app.settings import Settings


def start_replica(settings: Mapping[str, Any]) -> Settings:
    """Refuse an open Ray, read the settings, and let the house's own log lines through."""
    require_token_mode()
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # no line for every request
    return Settings(**settings)
