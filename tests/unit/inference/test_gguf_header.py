"""Headers of GGUF files: what they say, and refusal of whatever is cut off or out of bounds."""

import struct

import pytest

from serve_app.domain.errors import ModelError
from serve_app.inference.gguf_header import read_header


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def header(*entries, magic=b"GGUF", version=3, count=None):
    count = len(entries) if count is None else count
    return magic + struct.pack("<IQQ", version, 0, count) + b"".join(entries)


NAME = entry("general.name", 8, text("Tiny"))


def read(tmp_path, data):
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    return read_header(path)


def test_texts_are_read_and_the_rest_passed_over(tmp_path):
    found = read(
        tmp_path,
        header(
            entry("general.architecture", 8, text("llama")),
            entry("llama.block_count", 4, struct.pack("<I", 22)),
            entry("flag", 7, b"\1"),
            entry("merges", 9, struct.pack("<IQ", 8, 2) + text("a b") + text("c d")),
            entry("types", 9, struct.pack("<IQ", 5, 3) + bytes(12)),
            NAME,
            entry("tokenizer.chat_template", 8, text("<|im_start|>")),
        ),
    )
    assert (found.architecture, found.name, found.chat_template) == (
        "llama",
        "Tiny",
        "<|im_start|>",
    )


def test_what_is_not_said_is_empty(tmp_path):
    assert read(tmp_path, header()).name == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\3\4 not a model",
        header(NAME, version=1),
        header(count=100_000),
        header(NAME)[:-2],
        header(NAME, count=2),
        header(entry("k", 99, b"")),
        header(text("k") + struct.pack("<I", 8) + struct.pack("<Q", 1 << 40)),
        header(entry("k", 9, struct.pack("<IQ", 4, 1 << 40))),
        header(entry("k", 9, struct.pack("<IQ", 9, 1))),
        header(struct.pack("<Q", 2) + b"\xff\xff" + struct.pack("<I", 7) + b"\0"),
    ],
)
def test_anything_else_is_refused(tmp_path, data):
    with pytest.raises(ModelError, match="not a readable GGUF"):
        read(tmp_path, data)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        read_header(tmp_path / "none.gguf")
