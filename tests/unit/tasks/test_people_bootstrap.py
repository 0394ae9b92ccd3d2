"""The secret, the first owner, and how a home that lost one of them is entered again."""

import os

import pytest

from serve_app.domain.clock import FakeClock
from serve_app.domain.errors import ConfigError
from serve_app.domain.people import Role
from serve_app.settings import Settings
from serve_app.tasks.people import People
from serve_app.tasks.store_memory import MemoryTaskStore


class Home:
    def __init__(self, path):
        self.settings = Settings(home=path / "home")
        self.store = MemoryTaskStore()

    async def enter(self):
        await self.store.open()
        people = People(self.store, FakeClock())
        await people.bootstrap(self.settings)
        return people

    def token(self):
        return self.settings.owner_token_path.read_text()


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


async def test_the_first_start_makes_secret_and_owner(home):
    people = await home.enter()
    for path in (home.settings.secret_path, home.settings.owner_token_path):
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(home.settings.secret_path.read_bytes()) >= 32
    who = await people.authenticate(home.token())
    assert (who.name, who.role) == ("owner", Role.OWNER)


async def test_the_store_knows_no_token(home):
    await home.enter()
    (row,) = await home.store.tokens()
    assert home.token() not in repr(row)
    assert len(row.hash) == 64


async def test_later_starts_change_nothing(home):
    await home.enter()
    token, secret = home.token(), home.settings.secret_path.read_bytes()
    home.settings.owner_token_path.unlink()  # kept elsewhere by its owner
    people = await home.enter()
    assert not home.settings.owner_token_path.exists()
    assert home.settings.secret_path.read_bytes() == secret
    assert await people.authenticate(token) is not None


async def test_a_lost_secret_ends_all_tokens_and_lets_the_owner_in_again(home):
    first = await home.enter()
    owner = await first.authenticate(home.token())
    old = home.token()
    home.settings.secret_path.unlink()
    people = await home.enter()
    assert await people.authenticate(old) is None
    assert (await people.authenticate(home.token())).user_id == owner.user_id
    assert len(await home.store.tokens()) == 1


async def test_an_owner_without_a_token_gets_one(home):
    people = await home.enter()
    owner = await people.authenticate(home.token())
    await people.delete_token(owner, owner.token_id)
    people = await home.enter()
    assert (await people.authenticate(home.token())).user_id == owner.user_id


@pytest.mark.parametrize("secret", [b"", b"short", b"x" * 64, b"changeme" * 8])
async def test_a_weak_secret_is_refused(home, secret):
    home.settings.secret_path.parent.mkdir(parents=True)
    home.settings.secret_path.touch(0o600)
    home.settings.secret_path.write_bytes(secret)
    with pytest.raises(ConfigError, match="too weak"):
        await home.enter()


async def test_a_secret_that_others_can_read_is_refused(home):
    await home.enter()
    os.chmod(home.settings.secret_path, 0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        await home.enter()


async def test_a_half_written_file_of_an_earlier_start_does_no_harm(home):
    path = home.settings.secret_path
    path.parent.mkdir(parents=True)
    path.with_name("secret.new").write_bytes(b"half")
    people = await home.enter()
    assert await people.authenticate(home.token()) is not None


async def test_uses_are_written_down_now_and_then(home):
    people = await home.enter()
    await people.flush_uses()
    assert (await home.store.tokens())[0].info.last_used_at is None
    who = await people.authenticate(home.token())
    gone, _ = await people.create_token(who, "gone")
    people._used[gone.id] = FakeClock().now()
    await people.delete_token(who, gone.id)
    await people.flush_uses()
    (row,) = await home.store.tokens()
    assert row.info.last_used_at == FakeClock().now()
    assert (await people.tokens(who))[0].last_used_at == FakeClock().now()
