"""Judges where the crawler may connect to. Pure, apart from making the socket that it lets through.

A check of the URL's text is no guard: `0x7f.1`, a DNS name, a redirect or a name that resolves anew each
time reach the same place under another spelling. So the judgement is made on the address that is about to
be connected to, in the factory that makes the socket for it. Nothing lies between check and use.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from yarl import URL

from serve_app.domain.errors import AddressForbidden, ConfigError, FetchError
from serve_app.settings import CrawlSettings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
AddrInfo = tuple[Any, ...]  # as getaddrinfo answers: family, type, protocol, name, socket address
SocketFactory = Callable[[AddrInfo], socket.socket]

# `is_global` follows the registry of its Python version; these were added later or are in no registry.
_DENIED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # the host of an Azure machine
        "192.0.0.0/24",  # protocol assignments, among them cloud metadata
        "192.88.99.0/24",  # 6to4 relays, retired
        "3fff::/20",  # documentation
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_V4_BITS = 0xFFFFFFFF


class Refused(OSError):
    """What the socket factory raises. An OSError, so that the client tries a name's next address."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the guard refuses this address")


def unwrap(address: Address) -> Address:
    """The IPv4 address inside a mapped, NAT64, 6to4 or IPv4-compatible one; any other as it is."""
    if isinstance(address, IPv4Address):
        return address
    embedded = address.ipv4_mapped or address.sixtofour
    if embedded is None and (address in _NAT64 or address in _COMPATIBLE):
        embedded = IPv4Address(int(address) & _V4_BITS)
    return embedded or address


def is_public(address: str | Address) -> bool:
    """Whether an address is one of the public internet. An address with a zone id never is."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        return False
    inner = unwrap(parsed)
    if isinstance(inner, IPv6Address) and inner not in _GLOBAL_UNICAST:
        return False
    return inner.is_global and not inner.is_multicast and not _within(inner, _DENIED)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules of one crawler: public addresses on `ports`, and what the operator listed on any port."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset((80, 443))

    @classmethod
    def of(cls, settings: CrawlSettings) -> Guard:
        """Raises ConfigError for a network that is not one."""
        try:
            networks = tuple(ipaddress.ip_network(text) for text in settings.allow_networks)
        except ValueError as error:
            raise ConfigError(f"crawl.allow_networks: {error}.") from error
        hosts = frozenset(_host_name(host) for host in settings.allow_hosts)
        return cls(networks, hosts, frozenset(settings.allow_ports))

    def lists(self, host: str) -> bool:
        """Whether the operator said that this name may resolve to an address that is not public."""
        return _host_name(host) in self.hosts

    def permits(self, address: str, port: int, *, listed_host: bool = False) -> bool:
        """Whether a connection to this address and port may be made.

        A listed host may be anywhere but at the addresses of the deny list and at link-local ones, where
        cloud machines keep their credentials; only a listed network opens those.
        """
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        inner = unwrap(parsed)
        if _within(inner, self.networks) or _within(parsed, self.networks):
            return True
        if listed_host:
            return not (inner.is_link_local or inner.is_multicast or _within(inner, _DENIED))
        return is_public(parsed) and port in self.ports

    def socket_factory(self, *, listed_host: bool = False) -> SocketFactory:
        """For aiohttp's TCPConnector: makes a socket for a permitted address, raises Refused else."""

        def make(info: AddrInfo) -> socket.socket:
            family, kind, protocol, _, where = info
            if not self.permits(where[0], where[1], listed_host=listed_host):
                raise Refused
            made = socket.socket(family=family, type=kind, proto=protocol)
            made.setblocking(False)
            return made

        return make


def checked_url(text: str) -> URL:
    """Parse an address that is to be fetched: http or https, with a host, without a user's name in it.

    Raises AddressForbidden for another scheme or a user's name, FetchError (`bad_url`) for no address.
    """
    if not text.isprintable() or " " in text or "\\" in text:
        raise FetchError("The address holds characters that no address may hold.", reason="bad_url")
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        raise FetchError(f"This is not a web address: {error}.", reason="bad_url") from error
    if url.scheme not in ("http", "https"):
        raise AddressForbidden("Only http and https addresses are read.", reason="scheme")
    if not url.host or not port:
        raise FetchError("The address names no host.", reason="bad_url")
    if url.raw_user is not None or url.raw_password is not None:
        raise AddressForbidden(
            "Addresses with a user name in them are not read.", reason="userinfo"
        )
    return url


def _host_name(host: str) -> str:
    return host.rstrip(".").lower()
