"""The composition root: settings -> objects -> the Serve application `brain`.

`build` is what `omeruta up`, `serve run deployments.app:build` and `serve_config.yaml` share. Its arguments are
the settings of `serve_app/settings.py`; how many replicas and what they ask of a node stands here as a default
for two cores and is overridden, deployment by deployment, in `serve_config.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

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
# The stores lie on the head's disk.
ON_HEAD: dict[str, Any] = {"resources": {"node:__internal_head__": 0.001}}


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


def _bind(deployment: Any, *args: Any, **options: Any) -> Application:
    return cast(Application, deployment.options(**options).bind(*args))


def build(args: Mapping[str, Any] | None = None) -> Application:
    """The whole application. Arguments win over `OMERUTA_*` variables; unknown ones are refused."""
    settings = Settings(**(args or {}))
    plain = settings.model_dump(mode="json")
    slots, waiting = settings.llm.slots, settings.llm.max_queue
    parts = (
        _bind(
            Orchestrator,
            plain,
            **_small(),
            max_ongoing_requests=64,
            autoscaling_config=_autoscaled(2, 32),
        ),
        _bind(
            LLM,
            plain,
            **_small(1),
            max_ongoing_requests=slots
            + waiting,  # the engine batches and refuses, Serve only brings
            autoscaling_config=_autoscaled(1, slots),
        ),
        _bind(
            Embedder,
            plain,
            **_small(),
            max_ongoing_requests=256,
            autoscaling_config=_autoscaled(1, 64),
        ),
        _bind(
            Knowledge,
            plain,
            **_small() | {"ray_actor_options": {"num_cpus": 0.1, **ON_HEAD}},
            num_replicas=1,  # one process owns the store; its lock makes a second one wait
            max_ongoing_requests=256,
        ),
        _bind(
            Crawler,
            plain,
            **_small(),
            max_ongoing_requests=16,
            autoscaling_config=_autoscaled(1, 8),
        ),
    )
    return _bind(
        Brain,
        plain,
        this_build(plain),
        *parts,
        **_small(),
        max_ongoing_requests=1000,
        autoscaling_config=_autoscaled(2, 400),
    )
