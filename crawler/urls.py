"""Addresses as keys, scopes and traps. Pure.

A key says when two spellings name the same page. It is not what is fetched: a site may answer another order
of its query differently, so the address as found is kept apart.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urljoin

from yarl import URL

MAX_LENGTH = 2083
MAX_SEGMENTS = 24
MAX_SEGMENT_REPEATS = 3
MAX_QUERY_KEYS = 8
_DEFAULT_PORTS = {"http": 80, "https": 443}

_TRACKER_NAMES = (
    "fbclid gclid gclsrc dclid gbraid wbraid msclkid yclid twclid ttclid igshid mc_cid mc_eid mkt_tok "
    "srsltid _ga _gl _hsenc _hsmi oly_enc_id oly_anon_id vero_id wt_mc phpsessid jsessionid aspsessionid"
)
_TRACKERS = frozenset(_TRACKER_NAMES.split())
_SESSION_IN_PATH = re.compile(r";jsessionid=[^/?;]*", re.IGNORECASE)
_FILE_TYPES = (
    "7z apk avi avif bin bmp bz2 css csv dmg doc eot epub exe flac gif gz ico iso jar jpeg jpg js json "
    "m4a m4v map mov mp3 mp4 mpeg mpg msi ogg ogv otf png ppt pptx rar rpm deb svg swf tar tgz tif tiff "
    "ttf wasm wav webm webmanifest webp wmv woff woff2 xls xlsx xz zip zst"
)
_NO_DOCUMENT = frozenset(_FILE_TYPES.split())


def normalise(text: str) -> str:
    """The key of an address: case, default port, dots, escapes, order of the query, no fragment or tracker.

    Raises ValueError for what is no http or https address.
    """
    url = URL(text.strip())
    if url.scheme not in _DEFAULT_PORTS or not url.raw_host:
        raise ValueError("This is not an http or https address.")
    host = url.raw_host.rstrip(".").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if url.port == _DEFAULT_PORTS[url.scheme] else f":{url.port}"
    path = _SESSION_IN_PATH.sub("", url.raw_path) or "/"
    parts = sorted(p for p in url.raw_query_string.split("&") if p and not _is_tracker(p))
    query = f"?{'&'.join(parts)}" if parts else ""
    return f"{url.scheme}://{host}{port}{path}{query}"


def known_key(text: str) -> str | None:
    """The key of an address, None for what is none."""
    try:
        return normalise(text)
    except ValueError:
        return None


def _is_tracker(part: str) -> bool:
    name = part.split("=", 1)[0].lower()
    return name.startswith("utm_") or name in _TRACKERS


def absolute(base: str, href: str) -> str | None:
    """A link's address without its fragment, or None for what is no http or https address."""
    try:
        joined = urljoin(base, href.strip()).split("#", 1)[0]
    except ValueError:
        return None
    return joined if joined.lower().startswith(("http://", "https://")) else None


def site(url: str) -> str:
    """Host and unusual port of an address, `www.` apart. Two addresses of one site have the same."""
    parsed = URL(url)
    host = (parsed.host or "").rstrip(".").lower().removeprefix("www.")
    usual = parsed.port is None or parsed.port == _DEFAULT_PORTS.get(parsed.scheme)
    return host if usual else f"{host}:{parsed.port}"


def trap(url: str) -> str | None:
    """Why a found address is not worth following, as a short name; None when it is."""
    if len(url) > MAX_LENGTH:
        return "too_long"
    parsed = URL(url)
    segments = [s for s in parsed.raw_path.split("/") if s]
    if len(segments) > MAX_SEGMENTS:
        return "too_deep"
    if any(segments.count(s) > MAX_SEGMENT_REPEATS for s in set(segments)):
        return "repeats"
    if len(parsed.raw_query_string.split("&")) > MAX_QUERY_KEYS:
        return "query"
    name = segments[-1].lower() if segments else ""
    if "." in name and name.rsplit(".", 1)[1] in _NO_DOCUMENT:
        return "no_document"
    return None


def canonical_key(fetched: str, canonical: str | None) -> str:
    """The key of a page read at `fetched` that calls itself `canonical`.

    The claim is believed only where it drops a query or picks a scheme: same site and same path. A page that
    names another path may be wrong about itself, and would overwrite what is there.
    """
    own = normalise(fetched)
    if canonical is None:
        return own
    try:
        claimed = normalise(canonical)
        same = site(claimed) == site(own) and _path(claimed) == _path(own)
    except ValueError:
        return own
    return claimed if same else own


def _path(url: str) -> str:
    return URL(url).raw_path.rstrip("/")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which found addresses belong to a crawl. Patterns are globs over the whole address."""

    sites: frozenset[str] | None  # None: any site
    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(
        cls,
        seeds: Iterable[str],
        *,
        same_site: bool,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
    ) -> Scope:
        sites = frozenset(site(seed) for seed in seeds) if same_site else None
        return cls(sites, _globs(include), _globs(exclude))

    def on_site(self, url: str) -> bool:
        """Hosts are compared as parsed, never by prefix."""
        return self.sites is None or site(url) in self.sites

    def covers(self, url: str) -> bool:
        """Whether a found address, normalised, is to be followed."""
        if not self.on_site(url):
            return False
        if self.include and not any(pattern.match(url) for pattern in self.include):
            return False
        return not any(pattern.match(url) for pattern in self.exclude)


def _globs(patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(fnmatch.translate(pattern)) for pattern in patterns)
