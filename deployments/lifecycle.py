"""`up` and `down`: one brain on this machine, as its own Ray head. Ends only what it started.

    python -m deployments.lifecycle up | down | restart | head

`head` starts Ray alone, for `serve deploy serve_config.yaml`.

Everything kept is safe against a hard stop at any moment, so `down` simply ends the processes.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from deployments.environment import prepare, ray_environment, runtime_dir
from serve_app.domain.errors import BrainError, ConfigError, Unavailable
from serve_app.settings import Settings

Report = Callable[[str], None]

MARK = "OMERUTA_BRAIN_ID"  # in the environment of every process of a brain, so that `down` finds them all
READY_SECONDS = 300.0
STOP_SECONDS = 15.0
OBJECT_STORE_BYTES = 256 * 1024 * 1024


class RunFile:
    """What runs for a data folder: `run.json` beside the data."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.home / "run.json"

    def read(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ConfigError(
                f"{self.path} is not readable. Remove it if no brain runs."
            ) from error
        return found

    def write(self, content: dict[str, Any]) -> None:
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content, indent=1))
        temporary.replace(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def up(settings: Settings, report: Report) -> None:
    """Start the brain, or bring a running one to this code and these settings; returns when it is ready."""
    began = time.monotonic()
    running = head(settings, report)
    os.environ.update(ray_environment(settings))
    os.environ[MARK] = running["brain_id"]
    digest = _deploy(settings, running, report)
    RunFile(settings).write({**running, "build": digest})
    _wait_until_ready(settings, report)
    report(_welcome(settings, time.monotonic() - began))


def head(settings: Settings, report: Report) -> dict[str, Any]:
    """Start Ray's head for this data folder, unless it runs; answers the run file's content."""
    prepare(settings)
    run_file = RunFile(settings)
    running = run_file.read()
    if running is not None and not _can_go_on(settings, running):
        # What is left of one that died, or one on another address, which Serve can not change while it runs.
        down(settings, report)
        running = None
    if running is None:
        running = _start_head(settings, report)
        run_file.write(running)
    return running


def _listens(settings: Settings) -> list[object]:
    """Where, in a form that survives JSON: fixed while Ray runs."""
    return [settings.serve.host, settings.serve.port, settings.serve.dashboard_port]


def _can_go_on(settings: Settings, running: dict[str, Any]) -> bool:
    host, port = running["gcs"].rsplit(":", 1)
    return running["listens"] == _listens(settings) and not _is_free(host, int(port))


def _start_head(settings: Settings, report: Report) -> dict[str, Any]:
    for name, port in (
        ("port", settings.serve.port),
        ("dashboard_port", settings.serve.dashboard_port),
    ):
        if not _is_free(settings.serve.host, port):
            raise ConfigError(
                f"Port {port} is in use by another program. Stop it, or choose another with "
                f"OMERUTA_SERVE__{name.upper()}."
            )
    report("Starting Ray …")
    brain_id = uuid.uuid4().hex
    port = _free_port()
    logs = settings.home / "logs"
    logs.mkdir(exist_ok=True)
    environment = {**os.environ, **ray_environment(settings), MARK: brain_id}
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        f"--port={port}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={settings.serve.dashboard_port}",
        f"--dashboard-agent-listen-port={_free_port()}",
        f"--ray-client-server-port={_free_port()}",
        f"--num-cpus={max(2, os.cpu_count() or 2)}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={runtime_dir(settings) / 'ray'}",
        "--disable-usage-stats",
    ]
    with open(logs / "ray.log", "ab") as log_file:
        subprocess.Popen(  # noqa: S603 - our own command line, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return {
        "brain_id": brain_id,
        "gcs": f"127.0.0.1:{port}",
        "listens": _listens(settings),
        "build": None,
    }


def _deploy(settings: Settings, running: dict[str, Any], report: Report) -> str:
    """Deploy this code and these settings, unless they are what runs already."""
    from deployments.build import this_build

    digest = this_build(settings.model_dump(mode="json")).digest
    if running["build"] == digest and _is_ready(settings):
        report("The brain runs already, with this code and these settings.")
        return digest
    import ray
    from ray import serve

    from deployments.app import build

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    _connect(running["gcs"], report)
    try:
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": settings.serve.host, "port": settings.serve.port},
        )
        _run_application(serve, build(settings.model_dump(mode="json")), report)
    finally:
        ray.shutdown()
    return digest


def _connect(address: str, report: Report) -> None:
    import ray

    give_up = time.monotonic() + 90
    while True:
        try:
            ray.init(
                address=address,
                namespace="omeruta",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            if time.monotonic() > give_up:
                raise Unavailable(
                    f"Ray did not start. Its log is logs/ray.log in the data folder. ({error})"
                ) from error
            time.sleep(0.5)
        else:
            report("Ray is up. Starting the parts of the brain …")
            return


def _run_application(serve: Any, application: Any, report: Report) -> None:
    failure: list[BaseException] = []

    def run() -> None:
        try:
            serve.run(application, name="brain", route_prefix="/")
        except BaseException as error:  # noqa: BLE001 - handed over to the main thread below
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    seen: set[str] = set()
    while thread.is_alive():
        thread.join(0.5)
        for name in _healthy_parts(serve) - seen:
            seen.add(name)
            report(f"  {name} is ready")
    if failure:
        raise Unavailable(f"The brain could not be deployed: {failure[0]}") from failure[0]


def _healthy_parts(serve: Any) -> set[str]:
    with suppress(Exception):  # only for show: serve.run itself tells of failures
        application = serve.status().applications.get("brain")
        if application is not None:
            return {n for n, d in application.deployments.items() if d.status.value == "HEALTHY"}
    return set()


def _wait_until_ready(settings: Settings, report: Report) -> None:
    give_up = time.monotonic() + READY_SECONDS
    said = time.monotonic()
    while not _is_ready(settings):
        if time.monotonic() > give_up:
            raise Unavailable(f"The brain was not ready within {READY_SECONDS:.0f} s.")
        if time.monotonic() - said > 10:
            report("  waiting until every part answers …")
            said = time.monotonic()
        time.sleep(0.2)


def _is_ready(settings: Settings) -> bool:
    try:
        with urllib.request.urlopen(_page(settings) + "readyz", timeout=5) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _page(settings: Settings) -> str:
    host = settings.serve.host
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{settings.serve.port}/"  # noqa: S104


def _welcome(settings: Settings, seconds: float) -> str:
    return (
        f"\nOmeruta Brain is ready ({seconds:.0f} s).\n"
        f"  Page:       {_page(settings)}\n"
        f"  Log in:     with the token in {settings.owner_token_path} (`{_command()} token` prints it)\n"
        f"  Dashboard:  http://127.0.0.1:{settings.serve.dashboard_port}/ "
        f"(token: {settings.ray_token_path})\n"
        f"  Data:       {settings.home}\n"
        f"  Stop:       make down, or {_command()} down\n"
    )


def _command() -> str:
    """The command line as this shell can call it."""
    if shutil.which("omeruta"):
        return "omeruta"
    return os.path.relpath(Path(sys.executable).with_name("omeruta"))


def down(settings: Settings, report: Report) -> None:
    """End the processes of this data folder's brain, and no others."""
    run_file = RunFile(settings)
    running = run_file.read()
    if running is None:
        report("No brain runs for this data folder.")
        return
    report("Stopping the brain …")
    _end(settings, running["brain_id"])
    shutil.rmtree(runtime_dir(settings) / "ray", ignore_errors=True)
    run_file.remove()
    report("Stopped. Everything it knows is kept.")


def _end(settings: Settings, brain_id: str) -> None:
    """Kill, and look again until nobody is left: a process may have been starting another meanwhile.

    Asking Ray to end would wait for it to drain its node, for as long as the brain's actors live.
    """
    give_up = time.monotonic() + STOP_SECONDS
    while (left := list(_processes(settings, brain_id))) and time.monotonic() < give_up:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1)
    if left:
        raise Unavailable(f"{len(left)} processes of the brain do not end.")


def brain_processes(settings: Settings) -> list[psutil.Process]:
    """Every process of the brain of this data folder; none when it does not run."""
    running = RunFile(settings).read()
    return [] if running is None else list(_processes(settings, running["brain_id"]))


def _processes(settings: Settings, brain_id: str) -> Iterator[psutil.Process]:
    """Every process of this brain, this one apart: it carries the brain's mark in its environment or, where
    a process title has overwritten that (Ray's workers), writes its output into the brain's own folder."""
    logs = str(runtime_dir(settings).resolve())
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and (
                process.environ().get(MARK) == brain_id
                or any(file.path.startswith(logs + os.sep) for file in process.open_files())
            ):
                yield process


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    actions: dict[str, tuple[Callable[[Settings, Report], object], ...]] = {
        "head": (head,),
        "up": (up,),
        "down": (down,),
        "restart": (down, up),
    }
    if len(arguments) != 1 or arguments[0] not in actions:
        sys.stderr.write("usage: python -m deployments.lifecycle up | down | restart | head\n")
        return 2

    def report(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    try:
        for action in actions[arguments[0]]:
            action(Settings(), report)
    except BrainError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
