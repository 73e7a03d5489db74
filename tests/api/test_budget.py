"""All bodies together: what is counted, who is refused, and that nothing stays taken."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from squero.api.body import UNCOUNTED_BYTES, Document, read_document
from squero.api.budget import Budget, Portion
from squero.api.house import House
from squero.cli.base import load_settings
from squero.domain import generation
from squero.errors import AtCapacity, InvalidJson, PayloadTooLarge
from squero.media.spool import Spool, SpoolWriter
from squero.settings import Settings

pytestmark = pytest.mark.anyio

LIMIT = 2_000_000
BODY_LIMIT = 500_000
FULL = {"error": "The server is at capacity. Please try again later."}
SOMEBODY = uuid4()
SMALL = b'{"prompt": "p"}'


def body(size: int) -> bytes:
    """A document of so many bytes, with media in it."""
    head, tail = b'{"image_url":"data:image/png;base64,', b'"}'
    base64 = b"QUFB" * ((size - len(head) - len(tail)) // 4)
    return head + base64 + tail + b" " * (size - len(head + base64 + tail))


def headers(**more: str) -> dict[bytes, bytes]:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in more.items()}
    return {b"content-type": b"application/json"} | named


class Sender:
    """A client whose parts arrive when the test says so."""

    def __init__(self) -> None:
        self._parts = asyncio.Queue[Message]()
        self.waits = asyncio.Event()
        """Set while the server waits for more."""

    def send(self, part: bytes, *, more: bool = True) -> None:
        self.waits.clear()
        self._parts.put_nowait({"type": "http.request", "body": part, "more_body": more})

    def leave(self) -> None:
        self._parts.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        if self._parts.empty():
            self.waits.set()
        return await self._parts.get()


def whole(parts: Iterable[bytes]) -> Receive:
    sender = Sender()
    for part in parts:
        sender.send(part)
    sender.send(b"", more=False)
    return sender.receive


async def never() -> Message:
    raise AssertionError("The body must not be read")


@pytest.fixture
def budget(tmp_path: Path) -> Budget:
    return Budget(Settings(home=tmp_path, body_limit_bytes=BODY_LIMIT, body_bytes_in_flight=LIMIT))


@pytest.fixture
def read(budget: Budget, tmp_path: Path) -> Any:
    """`await read(receive, headers, holder)`."""
    spool = Spool(tmp_path / "spool")

    async def read(
        receive: Receive, headers: dict[bytes, bytes], holder: UUID | None = None
    ) -> Document:
        return await read_document(
            receive, headers, limit_bytes=BODY_LIMIT, spool=spool, budget=budget, holder=holder
        )

    return read


def fill(budget: Budget, left_bytes: int = 0) -> None:
    """Has others take all but so much."""
    budget.take(uuid4(), LIMIT // 2)
    budget.take(uuid4(), LIMIT // 2 - left_bytes)


class TestBudget:
    def test_to_the_last_byte(self, budget: Budget) -> None:
        fill(budget, left_bytes=10)
        with pytest.raises(AtCapacity) as refused:
            budget.take(SOMEBODY, 11)
        assert {"error": str(refused.value)} == FULL
        assert budget.taken_bytes == LIMIT - 10
        budget.take(SOMEBODY, 10)
        assert budget.taken_bytes == LIMIT

    def test_no_account_gets_more_than_half(self, budget: Budget) -> None:
        budget.take(SOMEBODY, LIMIT // 2)
        with pytest.raises(AtCapacity):
            budget.take(SOMEBODY, 1)
        budget.take(uuid4(), LIMIT // 2)

    def test_those_without_a_key_get_an_eighth_together(self, tmp_path: Path) -> None:
        budget = Budget(
            Settings(home=tmp_path, body_limit_bytes=1_000, body_bytes_in_flight=16_000)
        )
        budget.take(None, 2_000)
        with pytest.raises(AtCapacity):
            budget.take(None, 1)
        budget.take(SOMEBODY, 8_000)

    def test_any_single_body_fits(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path, body_limit_bytes=1_000, body_bytes_in_flight=1_000)
        for holder in (None, SOMEBODY):
            Budget(settings).take(holder, 1_000)

    def test_remembers_nobody_who_holds_nothing(self, budget: Budget) -> None:
        for size in (0, 5):
            portion = Portion(budget, SOMEBODY)
            portion.cover(size)
            portion.close()
            portion.close()
        assert budget.taken_bytes == 0
        assert not budget._taken_by


class TestReading:
    async def test_takes_the_declared_length_before_the_first_byte(
        self, budget: Budget, read: Any
    ) -> None:
        sender, document = Sender(), body(300_000)
        declared = headers(content_length=str(len(document)))
        first = asyncio.create_task(read(sender.receive, declared, SOMEBODY))
        await sender.waits.wait()
        assert budget.taken_bytes == len(document)
        fill(budget, left_bytes=len(document))
        with pytest.raises(AtCapacity):
            await read(never, declared, uuid4())
        sender.send(document, more=False)
        async with await first:
            assert budget.taken_bytes == LIMIT
        assert budget.taken_bytes == LIMIT - len(document)

    async def test_takes_what_is_not_declared_as_it_comes(self, budget: Budget, read: Any) -> None:
        sender, document = Sender(), body(200_000)
        reading = asyncio.create_task(read(sender.receive, headers(), SOMEBODY))
        for start in range(0, len(document), 50_000):
            await sender.waits.wait()
            assert budget.taken_bytes == start
            sender.send(document[start : start + 50_000])
        sender.send(b"", more=False)
        async with await reading as arrived:
            assert len(arrived.media) == 1
            assert budget.taken_bytes == len(document)
        assert budget.taken_bytes == 0

    async def test_stops_what_is_not_declared_where_the_room_ends(
        self, budget: Budget, read: Any
    ) -> None:
        fill(budget, left_bytes=120_000)
        sender, document = Sender(), body(200_000)
        for start in range(0, len(document), 50_000):
            sender.send(document[start : start + 50_000])
        with pytest.raises(AtCapacity):
            await read(sender.receive, headers(), SOMEBODY)
        assert (await sender.receive())["body"] == document[150_000:]
        assert budget.taken_bytes == LIMIT - 120_000

    @pytest.mark.parametrize("length", [str(len(SMALL)), None])
    async def test_of_a_small_body_takes_nothing(
        self, budget: Budget, read: Any, length: str | None
    ) -> None:
        fill(budget)
        sender = Sender()
        sender.send(SMALL, more=False)
        declared = headers() if length is None else headers(content_length=length)
        async with await read(sender.receive, declared, SOMEBODY) as document:
            assert document.fields == {"prompt": "p"}
            assert budget.taken_bytes == LIMIT

    @pytest.mark.parametrize("declares", [True, False])
    async def test_of_a_small_body_that_dawdles_is_counted(
        self, budget: Budget, read: Any, declares: bool
    ) -> None:
        declared = headers(content_length=str(UNCOUNTED_BYTES)) if declares else headers()
        sender = Sender()
        sender.send(b'{"prompt"')
        reading = asyncio.create_task(read(sender.receive, declared, SOMEBODY))
        await sender.waits.wait()
        assert budget.taken_bytes == (UNCOUNTED_BYTES if declares else 9)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        fill(budget)
        sender.send(b'{"prompt"')
        with pytest.raises(AtCapacity):
            await read(sender.receive, declared, SOMEBODY)

    async def test_of_small_media_is_counted(self, budget: Budget, read: Any) -> None:
        fill(budget)
        with pytest.raises(AtCapacity):
            await read(whole([body(200)]), headers(), SOMEBODY)


class TestNothingStaysTaken:
    @pytest.mark.parametrize(
        ("document", "error"),
        [
            (body(100_000) + b"]", InvalidJson),
            (b'{"image_url":"data:image/png;base64,' + b"QUFB" * 9_000, InvalidJson),
            (body(BODY_LIMIT + 100_000), PayloadTooLarge),
        ],
    )
    @pytest.mark.parametrize("declares", [True, False])
    async def test_when_the_body_is_refused(
        self, budget: Budget, read: Any, document: bytes, error: type[Exception], declares: bool
    ) -> None:
        size = str(min(len(document), BODY_LIMIT))
        parts = [document[start : start + 60_000] for start in range(0, len(document), 60_000)]
        with pytest.raises(error):
            await read(whole(parts), headers(content_length=size) if declares else headers())
        assert budget.taken_bytes == 0

    @pytest.mark.parametrize("end", ["leaves", "cancelled", "disk"])
    async def test_when_the_upload_breaks_off(
        self, budget: Budget, read: Any, end: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(self: SpoolWriter, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        sender, document = Sender(), body(400_000)
        declared = headers(content_length=str(len(document)))
        reading = asyncio.create_task(read(sender.receive, declared))
        sender.send(document[:300_000])
        await sender.waits.wait()
        assert budget.taken_bytes == len(document)
        if end == "leaves":
            sender.leave()
        elif end == "cancelled":
            reading.cancel()
        else:
            monkeypatch.setattr(SpoolWriter, "write", full)
            sender.send(document[300_000:], more=False)
        errors = {"leaves": ClientDisconnect, "cancelled": asyncio.CancelledError, "disk": OSError}
        with pytest.raises(errors[end]):
            await reading
        assert budget.taken_bytes == 0

    async def test_when_the_handler_fails(self, budget: Budget, read: Any) -> None:
        with pytest.raises(ZeroDivisionError):
            async with await read(whole([body(100_000)]), headers()):
                assert budget.taken_bytes > 99_000
                1 / 0  # noqa: B018
        assert budget.taken_bytes == 0


@pytest.mark.usefixtures("unblocked")
class TestCalls:
    @pytest.fixture
    def house(self, cleared: House, budget: Budget) -> House:
        return replace(cleared, budget=budget)

    @pytest.fixture
    def asked(self, picture: str) -> dict[str, str]:
        model = "motion-image-to-video"
        return {"model": model, "prompt": "p" * 2_000, "duration": "5s", "image_url": picture}

    async def test_hold_their_part_until_the_job_is_taken(
        self, customer: Any, budget: Budget, asked: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held, queue = [], generation.queue

        async def watched(*arguments: Any) -> Any:
            held.append(dict(budget._taken_by))
            return await queue(*arguments)

        monkeypatch.setattr(generation, "queue", watched)
        answer = await customer.post("queue", asked)
        assert answer.status_code == 200
        assert held == [{customer.account_id: int(answer.request.headers["content-length"])}]
        assert budget.taken_bytes == 0

    async def test_beyond_are_503_and_small_ones_go_on(
        self, customer: Any, http: Any, budget: Budget, asked: Any
    ) -> None:
        fill(budget, left_bytes=100)
        for call in ("queue", "quote"):
            answer = await customer.post(call, asked | {"negative_prompt": "n" * 9_000})
            assert (answer.status_code, answer.json()) == (503, FULL)
        quoted = {"model": asked["model"], "duration": "5s"}
        assert (await http.post("/api/v1/video/quote", json=quoted)).status_code == 200
        assert budget.taken_bytes == LIMIT - 100

    async def test_of_one_account_do_not_keep_out_another(
        self, customer: Any, open_customer: Any, budget: Budget, asked: Any
    ) -> None:
        budget.take(customer.account_id, LIMIT // 2)
        budget.take(None, BODY_LIMIT)
        assert (await customer.post("queue", asked)).status_code == 503
        assert (await (await open_customer()).post("queue", asked)).status_code == 200

    @pytest.mark.parametrize("wrong", [{"duration": "7s"}, {"image_url": "data:;base64,QUFB"}])
    async def test_that_are_refused_give_it_back(
        self, customer: Any, budget: Budget, asked: Any, wrong: dict[str, str]
    ) -> None:
        assert (await customer.post("queue", asked | wrong)).status_code == 400
        assert budget.taken_bytes == 0

    async def test_that_fail_by_us_give_it_back(
        self, customer: Any, budget: Budget, asked: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: Any) -> None:
            assert budget.taken_bytes > 0
            raise RuntimeError

        monkeypatch.setattr(generation, "queue", broken)
        assert (await customer.post("queue", asked)).status_code == 500
        assert budget.taken_bytes == 0

    async def test_of_a_result_take_nothing(
        self, customer: Any, hand: Any, film: bytes, budget: Budget
    ) -> None:
        await customer.queue()
        job = await hand.take()
        fill(budget)
        assert (await hand.upload(job, film)).status_code == 204
        assert budget.taken_bytes == LIMIT


class TestSetting:
    def test_that_holds_no_largest_body(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match="at least body_limit_bytes, which is 2000"):
            Settings(home=tmp_path, body_limit_bytes=2_000, body_bytes_in_flight=1_999)

    def test_is_refused_in_words_when_only_the_other_was_raised(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "squero.toml").write_text("body_limit_bytes = 600_000_000\n")
        with pytest.raises(SystemExit) as left:
            load_settings(tmp_path)
        assert left.value.code == 2
        told = "body_bytes_in_flight: Must be at least body_limit_bytes, which is 600000000"
        assert told in capsys.readouterr().err

    def test_leaves_the_disk_what_it_must_have(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path)
        assert settings.body_bytes_in_flight == 16 * settings.body_limit_bytes
        assert settings.body_bytes_in_flight * 3 / 4 < settings.min_free_bytes
