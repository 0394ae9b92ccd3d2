"""The composition root: settings -> objects -> the Serve application `brain`.

`build` is what `omeruta up`, `serve run deployments.app:build` and `serve_config.yaml` share. Its arguments are
the settings of `serve_app/settings.py`; how many replicas and what they ask of a node stands here as a default
for two cores and is overridden, deployment by deployment, in `serve_config.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.serve import Application

from deployments.brain import Brain
from deployments.build import this_build
from deployments.crawler import Crawler
from deployments.embedder import Embedder
from deployments.knowledge import Knowledge
from deployments.llm import LLM
from deployments.orchestrator import Orchestrator
from serve_app.settings import Settings

# A replica that was killed is noticed within two seconds and replaced.
_WATCHED = {"health_check_period_s": 2, "health_check_timeout_s": 20}


def _small(cpus: float = 0.1) -> dict[str, Any]:
    return {"ray_actor_options": {"num_cpus": cpus}, **_WATCHED}


def _autoscaled(largest: int, ongoing: float) -> dict[str, Any]:
    return {
        "min_replicas": 1,
        "max_replicas": largest,
        "target_ongoing_requests": ongoing,
        "upscale_delay_s": 5,
        "downscale_delay_s": 120,
    }


def build(args: Mapping[str, Any] | None = None) -> Application:
    """The whole application. Arguments win over `OMERUTA_*` variables; unknown ones are refused."""
    settings = Settings(**(args or {}))
    plain = settings.model_dump(mode="json")
    llm_room = settings.llm.slots + settings.llm.max_queue
    parts = (
        Orchestrator.options(
            **_small(), max_ongoing_requests=64, autoscaling_config=_autoscaled(2, 32)
        ).bind(plain),
        LLM.options(
            ray_actor_options={"num_cpus": 1},
            max_ongoing_requests=llm_room,
            autoscaling_config=_autoscaled(1, settings.llm.slots),
            graceful_shutdown_timeout_s=10,
            **_WATCHED,
        ).bind(plain),
        Embedder.options(
            **_small(), max_ongoing_requests=256, autoscaling_config=_autoscaled(1, 64)
        ).bind(plain),
        # One process owns the store; its lock makes a second one wait.
        Knowledge.options(
            ray_actor_options={"num_cpus": 0.1, "resources": {"node:__internal_head__": 0.001}},
            num_replicas=1,
            max_ongoing_requests=256,
            **_WATCHED,
        ).bind(plain),
        Crawler.options(
            **_small(), max_ongoing_requests=16, autoscaling_config=_autoscaled(1, 8)
        ).bind(plain),
    )
    return Brain.options(  # type: ignore[no-any-return]
        **_small(), max_ongoing_requests=1000, autoscaling_config=_autoscaled(2, 400)
    ).bind(plain, this_build(plain), *parts)
