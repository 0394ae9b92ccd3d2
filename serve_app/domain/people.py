"""Who calls: users, their tokens and their conversations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    OWNER = "owner"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Principal:
    """The user behind a request, as found by their token."""

    user_id: str
    name: str
    role: Role
    token_id: str

    @property
    def is_owner(self) -> bool:
        return self.role is Role.OWNER

    def may_see(self, user_id: str) -> bool:
        """Owners see all; members see their own."""
        return self.is_owner or self.user_id == user_id


@dataclass(frozen=True, slots=True)
class User:
    id: str
    name: str
    role: Role
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token as listed. The token itself is shown once, at creation, and stored only as a hash."""

    id: str
    user_id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `extra` keeps what the page shows beside an answer (sources, agent, …)."""

    role: str  # "user" | "assistant"
    text: str
    at: datetime
    task_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    user_id: str
    title: str
    created_at: datetime
    updated_at: datetime
    messages: tuple[Message, ...] = ()  # empty in listings
    message_count: int = 0
