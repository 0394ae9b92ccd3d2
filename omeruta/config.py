"""Where the brain is and which token opens it.

Address: the argument, else `OMERUTA_URL`, else http://127.0.0.1:8000.
Token: the argument, else `OMERUTA_TOKEN`, else the file `owner-token` in `OMERUTA_HOME`
(default `~/.omeruta`), which is sent to addresses of this machine only.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import httpx

from omeruta.errors import ConfigError

DEFAULT_URL = "http://127.0.0.1:8000"


def find_url(url: str | None = None) -> str:
    """The address without a trailing slash. Raises ConfigError unless it is an http(s) URL with a host."""
    chosen = url or os.environ.get("OMERUTA_URL") or DEFAULT_URL
    try:
        parsed = httpx.URL(chosen)
    except httpx.InvalidURL as error:
        raise ConfigError(f"“{chosen}” is not an address of a brain: {error}.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(
            f"“{chosen}” is not an address of a brain. It looks like {DEFAULT_URL}.",
        )
    return chosen.rstrip("/")


def is_local(url: str) -> bool:
    """Whether the address is this machine's own (loopback)."""
    host = httpx.URL(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def home() -> Path:
    """The folder of the brain's data."""
    return Path(os.environ.get("OMERUTA_HOME") or Path.home() / ".omeruta").expanduser()


def owner_token() -> str:
    """The owner token that the brain wrote at its first start. Raises ConfigError when there is none."""
    path = home() / "owner-token"
    try:
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise ConfigError(
            f"There is no token: {path} does not exist yet. Start the brain once with "
            "`omeruta up`, or set OMERUTA_TOKEN.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The token file {path} cannot be read: {error}.") from error
    if not token:
        raise ConfigError(f"The token file {path} is empty.")
    return token


def find_token(token: str | None, url: str) -> str:
    """The token to send to `url`. Raises ConfigError when there is none that may be sent there."""
    chosen = token or os.environ.get("OMERUTA_TOKEN")
    if chosen:
        if not chosen.isascii() or not chosen.isprintable() or " " in chosen:
            raise ConfigError("The token has characters that no token has.")
        return chosen
    if not is_local(url):
        raise ConfigError(
            f"Give a token for {url}: the owner token of this machine is sent to this machine only. "
            "Pass token=…, or set OMERUTA_TOKEN.",
        )
    return owner_token()
