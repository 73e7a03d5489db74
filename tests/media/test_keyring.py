"""The secret and the keys that hang on it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from squero.media.folder import Folder
from squero.media.keyring import KeyForgotten, Keyring, SecretRefused, load_secret
from squero.media.sealed import SealBroken

DAY = date(2026, 1, 15)
SECRET = bytes(range(32))
GENERATION = b"g" * 32


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(SECRET, Folder(tmp_path))


class TestSecret:
    def test_is_made_once_for_this_user_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "home" / "secret"
        secret = load_secret(path)
        assert len(secret) == 32
        assert path.stat().st_mode & 0o777 == 0o600
        assert load_secret(path) == secret
        assert list(path.parent.iterdir()) == [path]

    def test_servers_that_start_at_once_agree(self, tmp_path: Path) -> None:
        barrier = threading.Barrier(8)

        def load(_: int) -> bytes:
            barrier.wait()
            return load_secret(tmp_path / "secret")

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(load, range(8)))) == 1
        assert len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
    def test_open_to_others_is_refused(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "secret"
        load_secret(path)
        path.chmod(mode)
        with pytest.raises(SecretRefused, match="chmod 600"):
            load_secret(path)

    def test_missing_is_refused_where_it_may_not_be_made(self, tmp_path: Path) -> None:
        with pytest.raises(SecretRefused, match="missing"):
            load_secret(tmp_path / "secret", create=False)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("size", [0, 31, 5000])
    def test_of_another_size_is_refused(self, tmp_path: Path, size: int) -> None:
        path = tmp_path / "secret"
        path.write_bytes(b"x" * size)
        path.chmod(0o600)
        with pytest.raises(SecretRefused, match="needs 32"):
            load_secret(path)


class TestHmac:
    def test_is_stable_and_differs_by_purpose_and_secret(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path)
        one, two = Keyring(SECRET, folder), Keyring(SECRET[::-1], folder)
        assert one.hmac("key", b"x") == Keyring(SECRET, folder).hmac("key", b"x")
        digests = {one.hmac("key", b"x"), one.hmac("body", b"x"), two.hmac("key", b"x")}
        assert len(digests) == 3
        assert all(len(digest) == 32 for digest in digests)


class TestWrap:
    def test_round_trip_by_another_replica(self, keyring: Keyring, tmp_path: Path) -> None:
        wrapped = keyring.wrap(GENERATION, DAY)
        assert GENERATION not in wrapped
        assert Keyring(SECRET, Folder(tmp_path)).unwrap(wrapped, DAY) == GENERATION

    def test_at_once_when_the_days_key_is_known(self, keyring: Keyring) -> None:
        assert keyring.wrap_at_once(GENERATION, DAY) is None
        keyring.wrap(GENERATION, DAY)
        wrapped = keyring.wrap_at_once(GENERATION, DAY)
        assert wrapped is not None
        assert keyring.unwrap(wrapped, DAY) == GENERATION
        assert keyring.wrap_at_once(GENERATION, date(2026, 1, 16)) is None

    def test_day_and_secret_are_bound(self, keyring: Keyring, tmp_path: Path) -> None:
        wrapped = keyring.wrap(GENERATION, DAY)
        keyring.wrap(GENERATION, date(2026, 1, 16))
        with pytest.raises(SealBroken):
            keyring.unwrap(wrapped, date(2026, 1, 16))
        with pytest.raises(SealBroken):
            Keyring(SECRET[::-1], Folder(tmp_path)).unwrap(wrapped, DAY)

    def test_replicas_that_race_make_one_day_key(self, tmp_path: Path) -> None:
        barrier = threading.Barrier(8)

        def wrap(_: int) -> bytes:
            replica = Keyring(SECRET, Folder(tmp_path))
            barrier.wait()
            return replica.wrap(GENERATION, DAY)

        with ThreadPoolExecutor(8) as pool:
            wrapped = list(pool.map(wrap, range(8)))
        reader = Keyring(SECRET, Folder(tmp_path))
        assert {reader.unwrap(one, DAY) for one in wrapped} == {GENERATION}
        assert [path.name for path in (tmp_path / "keys").iterdir()] == ["2026-01-15"]

    def test_unwrapping_makes_no_key(self, keyring: Keyring, tmp_path: Path) -> None:
        with pytest.raises(KeyForgotten):
            keyring.unwrap(b"x" * 60, DAY)
        assert not (tmp_path / "keys").exists()


class TestForget:
    def test_earlier_days_are_gone(self, keyring: Keyring, tmp_path: Path) -> None:
        old = keyring.wrap(GENERATION, date(2026, 1, 14))
        kept = keyring.wrap(GENERATION, DAY)
        assert keyring.forget_before(DAY) == 1
        for ring in (keyring, Keyring(SECRET, Folder(tmp_path))):
            with pytest.raises(KeyForgotten):
                ring.unwrap(old, date(2026, 1, 14))
            assert ring.unwrap(kept, DAY) == GENERATION
        assert keyring.forget_before(DAY) == 0

    def test_other_replicas_follow(
        self, keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = Keyring(SECRET, Folder(tmp_path))
        wrapped = other.wrap(GENERATION, DAY)
        keyring.forget_before(date(2026, 2, 1))
        assert other.unwrap(wrapped, DAY) == GENERATION
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 61)
        with pytest.raises(KeyForgotten):
            other.unwrap(wrapped, DAY)
