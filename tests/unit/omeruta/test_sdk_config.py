from __future__ import annotations

from pathlib import Path

import pytest

from omeruta import Brain, ConfigError
from omeruta.config import find_token, find_url, is_local, owner_token


def test_the_address_is_the_argument_then_the_environment_then_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_url() == "http://127.0.0.1:8000"
    monkeypatch.setenv("OMERUTA_URL", "http://brain.test:9000/")
    assert find_url() == "http://brain.test:9000"
    assert find_url("https://other.test/brain/") == "https://other.test/brain"


@pytest.mark.parametrize(
    "url", ["brain.test", "ftp://brain.test", "http://", "http://[::1", "file:///x"]
)
def test_what_is_no_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(ConfigError, match="is not an address of a brain"):
        find_url(url)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost", True),
        ("http://[::1]:8000", True),
        ("http://127.1.2.3", True),
        ("http://10.0.0.1", False),
        ("http://localhost.evil.test", False),
        ("http://127.0.0.1.evil.test", False),
    ],
)
def test_which_addresses_are_this_machine(url: str, local: bool) -> None:
    assert is_local(url) is local


def write_owner_token(tmp_path: Path, text: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "owner-token").write_text(text)


def test_the_token_is_the_argument_then_the_environment_then_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_owner_token(tmp_path, "from-file\n")
    assert find_token(None, "http://127.0.0.1:8000") == "from-file"
    monkeypatch.setenv("OMERUTA_TOKEN", "from-environment")
    assert find_token(None, "http://127.0.0.1:8000") == "from-environment"
    assert find_token("given", "http://127.0.0.1:8000") == "given"


def test_the_owner_token_never_goes_to_another_machine(tmp_path: Path) -> None:
    write_owner_token(tmp_path, "secret")
    with pytest.raises(ConfigError, match="sent to this machine only"):
        find_token(None, "https://brain.test")
    assert find_token("given", "https://brain.test") == "given"


def test_without_any_token_the_error_says_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match="omeruta up"):
        Brain()


def test_an_empty_or_unreadable_token_file_is_named(tmp_path: Path) -> None:
    write_owner_token(tmp_path, "\n")
    with pytest.raises(ConfigError, match="is empty"):
        owner_token()
    (tmp_path / "home" / "owner-token").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        owner_token()


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "ünicode"])
def test_a_token_that_cannot_be_one_is_refused_before_it_is_sent(token: str) -> None:
    with pytest.raises(ConfigError):
        find_token(token, "http://127.0.0.1:8000")


def test_the_token_is_not_in_the_repr() -> None:
    with Brain(token="secret-token") as brain:
        assert repr(brain) == "Brain('http://127.0.0.1:8000')"
