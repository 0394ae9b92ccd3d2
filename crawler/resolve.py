"""Host names to addresses: the operator's own table first, then the machine's resolver."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from serve_app.domain.errors import ConfigError


class TableResolver(AbstractResolver):
    """Answers hosts of `table` from it. What an answer may be connected to is the guard's to judge."""

    def __init__(self, table: Mapping[str, str]) -> None:
        try:
            self._table = {
                host.rstrip(".").lower(): ipaddress.ip_address(address)
                for host, address in table.items()
            }
        except ValueError as error:
            raise ConfigError(f"crawl.resolve: {error}.") from error
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self._table.get(host.rstrip(".").lower())
        if address is None:
            return await self._system.resolve(host, port, family)
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        await self._system.close()
