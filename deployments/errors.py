"""Ray's errors mapped into the house's tree, at the one place where they enter."""

from __future__ import annotations

import asyncio

import grpc
import ray.exceptions
from ray.serve.exceptions import BackPressureError, RayServeException, RequestCancelledError

from serve_app.domain.errors import BrainError, Overloaded, Unavailable, WorkerLost

_LOST = (
    ray.exceptions.ActorDiedError,
    ray.exceptions.ActorUnavailableError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.RpcError,
    RequestCancelledError,
    grpc.aio.AioRpcError,
    ConnectionError,
)


def to_brain_error(error: Exception, what: str) -> Exception:
    """The house's own error for one that came over a handle; `what` names the part that was called."""
    if isinstance(error, BrainError) and not isinstance(error, ray.exceptions.RayTaskError):
        return error
    if isinstance(error, ray.exceptions.RayTaskError):
        cause = error.cause
        if isinstance(cause, BrainError):
            return cause
        if isinstance(cause, (*_LOST, asyncio.CancelledError)):
            return WorkerLost(f"{what} was interrupted.")
        return error
    if isinstance(error, BackPressureError):
        return Overloaded(f"{what} has no room for more requests now.", retry_after=1)
    if isinstance(error, _LOST):
        return WorkerLost(f"{what} is being restarted.")
    if isinstance(error, RayServeException):
        return Unavailable(f"{what} is not there yet.")
    return error
