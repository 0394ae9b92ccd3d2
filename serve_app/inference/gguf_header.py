"""Reads what a GGUF file says about itself, bounded and without loading the model.

Layout (GGUF v2 and v3, little endian): magic `GGUF`, version u32, tensor count u64, entry count u64;
then per entry a key (u64 length + UTF-8), a value type u32 and the value. Source: the GGUF
specification of the ggml project.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from serve_app.domain.errors import ModelError

_MAX_ENTRIES = 4096
_MAX_STRING = 1 << 20  # bytes
_MAX_ITEMS = 1 << 20  # of an array; vocabularies have some 250,000
_STRING, _ARRAY = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Empty strings where the file does not say."""

    architecture: str
    name: str
    chat_template: str


def read_header(path: Path) -> GgufHeader:
    """Raises ModelError when the file is not GGUF, is cut off, or exceeds the bounds."""
    try:
        with path.open("rb") as file:
            texts = _read_texts(file)
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror}.") from error
    except (struct.error, UnicodeDecodeError, _Malformed) as error:
        raise ModelError(f"The model file {path} is not a readable GGUF file.") from error
    return GgufHeader(
        texts.get("general.architecture", ""),
        texts.get("general.name", ""),
        texts.get("tokenizer.chat_template", ""),
    )


class _Malformed(Exception):
    """The bytes break the format or our bounds."""


def _read_texts(file: BinaryIO) -> dict[str, str]:
    """All entries whose value is a string; other values are passed over."""
    if file.read(4) != b"GGUF":
        raise _Malformed
    version, _, entries = _unpack(file, "<IQQ")
    if version not in (2, 3) or entries > _MAX_ENTRIES:
        raise _Malformed
    texts = {}
    for _ in range(entries):
        key = _text(file)
        (kind,) = _unpack(file, "<I")
        if kind == _STRING:
            texts[key] = _text(file)
        else:
            _skip(file, kind)
    return texts


def _skip(file: BinaryIO, kind: int) -> None:
    if kind != _ARRAY:
        file.seek(_width(kind), 1)
        return
    item_kind, items = _unpack(file, "<IQ")
    if items > _MAX_ITEMS:
        raise _Malformed
    if item_kind == _STRING:
        for _ in range(items):
            file.seek(_length(file), 1)
    else:
        file.seek(_width(item_kind) * items, 1)


def _width(kind: int) -> int:
    if kind not in _WIDTHS:
        raise _Malformed
    return _WIDTHS[kind]


def _length(file: BinaryIO) -> int:
    (length,) = _unpack(file, "<Q")
    if length > _MAX_STRING:
        raise _Malformed
    return int(length)


def _text(file: BinaryIO) -> str:
    length = _length(file)
    data = file.read(length)
    if len(data) != length:
        raise _Malformed
    return data.decode("utf-8")


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
