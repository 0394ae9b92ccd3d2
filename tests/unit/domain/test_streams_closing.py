"""Iterators are closed however the loop over them ends."""

from collections.abc import AsyncIterator

import pytest

from serve_app.domain.streams import closing


class Numbers:
    """Counts; `closed` says whether it was told to stop."""

    def __init__(self) -> None:
        self.closed = False
        self.last = 0

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        self.last += 1
        return self.last

    async def aclose(self) -> None:
        self.closed = True


async def test_an_early_end_closes() -> None:
    numbers = Numbers()
    async with closing(numbers) as counted:
        async for number in counted:
            if number == 3:
                break
    assert (numbers.closed, numbers.last) == (True, 3)


async def test_an_error_closes_too() -> None:
    numbers = Numbers()
    with pytest.raises(ValueError, match="enough"):
        async with closing(numbers):
            raise ValueError("enough")
    assert numbers.closed


async def test_what_has_nothing_to_close_is_left_alone() -> None:
    class Plain:
        def __aiter__(self) -> AsyncIterator[int]:
            return self

        async def __anext__(self) -> int:
            raise StopAsyncIteration

    async with closing(Plain()) as empty:
        assert [number async for number in empty] == []
