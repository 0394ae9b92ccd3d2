"""Users, their tokens, and who a token belongs to.

A token is kept as its HMAC-SHA256 under the home's secret, so that a stolen ledger opens no door. Finding
the hash in a dictionary is constant-time in what matters: its input is not known without the secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import secrets
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from serve_app.domain.errors import BadRequest, ConfigError, Conflict, Forbidden, NotFound
from serve_app.domain.people import Principal, Role, TokenInfo, User
from serve_app.domain.ports import Clock
from serve_app.settings import Settings
from serve_app.tasks.journal import new_id
from serve_app.tasks.store import (
    DeleteToken,
    DeleteUser,
    InsertToken,
    InsertUser,
    TaskStore,
    TokenRow,
    TouchTokens,
)

log = logging.getLogger(__name__)

SECRET_BYTES = 32
_DISTINCT_BYTES = 12  # 32 random bytes have fewer with a chance below 1e-12; typed defaults have
_NAME_CHARS = 100
_PREFIX = "ob_"


class People:
    """Keeps users and tokens in memory beside the store: every request asks here."""

    def __init__(self, store: TaskStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._secret = b""
        self._users: dict[str, User] = {}
        self._tokens: dict[str, TokenRow] = {}  # by hash
        self._used: dict[str, datetime] = {}  # token id -> last use, not yet written
        self._changing = asyncio.Lock()

    async def bootstrap(self, settings: Settings) -> None:
        """Load everybody. The first start makes the secret, an owner and the owner's token.

        An owner without any token could never come in, so one is made then too (as after the loss of the
        secret, which ends all tokens). Raises ConfigError for a secret that is weak or that others can read.
        """
        self._secret, fresh = await asyncio.to_thread(_load_secret, settings.secret_path)
        self._users = {user.id: user for user in await self._store.users()}
        rows = await self._store.tokens()
        if fresh and rows:
            log.warning("The secret was missing: all tokens made with it are ended")
            await self._store.apply(*(DeleteToken(row.info.id) for row in rows))
            rows = []
        self._tokens = {row.hash: row for row in rows}
        owners = [user for user in self._users.values() if user.role is Role.OWNER]
        if any(row.info.user_id == owner.id for owner in owners for row in rows):
            return
        owner = owners[0] if owners else await self.create_user("owner", Role.OWNER.value)
        token = _PREFIX + secrets.token_urlsafe(32)
        # The file first: a token that only the store knows would lock the owner out.
        await asyncio.to_thread(_write_private, settings.owner_token_path, token.encode())
        await self._keep(owner.id, "first start", token)

    async def authenticate(self, token: str) -> Principal | None:
        row = self._tokens.get(self._hash(token))
        if row is None:
            return None
        user = self._users[row.info.user_id]
        self._used[row.info.id] = self._clock.now()
        return Principal(user.id, user.name, user.role, row.info.id)

    async def flush_uses(self) -> None:
        """Write down when tokens were last used."""
        if not self._used:
            return
        uses, self._used = self._used, {}
        for row in self._tokens.values():
            if at := uses.get(row.info.id):
                self._tokens[row.hash] = replace(row, info=replace(row.info, last_used_at=at))
        await self._store.apply(TouchTokens(uses))

    async def users(self) -> list[User]:
        return list(self._users.values())

    async def create_user(self, name: str, role: str) -> User:
        name = _checked_name(name)
        if role not in set(Role):
            raise BadRequest("A role is owner or member.", field="role")
        async with self._changing:
            if any(user.name == name for user in self._users.values()):
                raise Conflict(f"There is a user named {name} already.")
            now = self._clock.now()
            user = User(new_id(now), name, Role(role), now)
            await self._store.apply(InsertUser(user))
            self._users[user.id] = user
        return user

    async def delete_user(self, user_id: str) -> None:
        async with self._changing:
            user = self._users.get(user_id)
            if user is None:
                raise NotFound("There is no such user.")
            owners = [u for u in self._users.values() if u.role is Role.OWNER]
            if owners == [user]:
                raise Conflict("The last owner cannot be deleted.")
            await self._store.apply(DeleteUser(user_id))
            del self._users[user_id]
            for row in [r for r in self._tokens.values() if r.info.user_id == user_id]:
                del self._tokens[row.hash]

    async def tokens(self, who: Principal) -> list[TokenInfo]:
        return [
            replace(row.info, last_used_at=self._used.get(row.info.id, row.info.last_used_at))
            for row in self._tokens.values()
            if who.may_see(row.info.user_id)
        ]

    async def create_token(
        self, who: Principal, name: str, user_id: str | None = None
    ) -> tuple[TokenInfo, str]:
        name = _checked_name(name)
        user_id = who.user_id if user_id is None else user_id
        if not who.may_see(user_id):
            raise Forbidden("Only an owner can make tokens for others.")
        async with self._changing:
            if user_id not in self._users:
                raise NotFound("There is no such user.")
            token = _PREFIX + secrets.token_urlsafe(32)
            return await self._keep(user_id, name, token), token

    async def delete_token(self, who: Principal, token_id: str) -> None:
        async with self._changing:
            row = next((r for r in self._tokens.values() if r.info.id == token_id), None)
            if row is None or not who.may_see(row.info.user_id):
                raise NotFound("There is no such token.")
            await self._store.apply(DeleteToken(token_id))
            del self._tokens[row.hash]

    async def _keep(self, user_id: str, name: str, token: str) -> TokenInfo:
        now = self._clock.now()
        row = TokenRow(TokenInfo(new_id(now), user_id, name, now), self._hash(token))
        await self._store.apply(InsertToken(row))
        self._tokens[row.hash] = row
        return row.info

    def _hash(self, token: str) -> str:
        return hmac.new(self._secret, token.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not 0 < len(name) <= _NAME_CHARS:
        raise BadRequest(f"A name has 1 to {_NAME_CHARS} characters.", field="name")
    return name


def _load_secret(path: Path) -> tuple[bytes, bool]:
    """The secret, and whether it was made just now."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        secret = secrets.token_bytes(2 * SECRET_BYTES)
        _write_private(path, secret)
        return secret, True
    secret = path.read_bytes()
    if mode & 0o077:
        raise ConfigError(f"The secret {path.name} can be read by others: chmod 600 {path}.")
    if len(secret) < SECRET_BYTES or len(set(secret)) < _DISTINCT_BYTES:
        raise ConfigError(
            f"The secret {path.name} is too weak: at least {SECRET_BYTES} random bytes are needed. "
            "Remove the file and start again to have one made; all tokens are then made anew."
        )
    return secret, False


def _write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, on disk, for the owner of the process only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
