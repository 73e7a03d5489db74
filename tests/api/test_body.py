import asyncio
import base64
import binascii
import contextlib
import hashlib
import json
import os
import threading
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from squero.api.body import BATCH_BYTES, Document
from squero.api.body import read_document as read_counted
from squero.api.budget import Budget
from squero.api.scanner import Scanner
from squero.errors import (
    InvalidJson,
    InvalidRequest,
    PayloadTooLarge,
    Refused,
    UnsupportedContentType,
)
from squero.media.spool import DataUrl, Spool
from squero.settings import Settings

pytestmark = pytest.mark.anyio

HEADERS = {b"content-type": b"application/json"}
LIMIT = 35_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def open_files() -> int:
    """How many spooled files are open; other files come and go as they like."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += "/spool/" in str(descriptor.readlink())
    return count


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """No test may leave a spooled file open, however it ends."""
    before = open_files()
    yield
    assert open_files() == before, "files were left open"


def receiving(chunks: Iterable[bytes], *, whole: bool = True) -> Receive:
    """An ASGI `receive` of these chunks; when not `whole`, the client leaves after the last."""
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    if whole:
        messages[-1]["more_body"] = False
    else:
        messages.append({"type": "http.disconnect"})
    waiting = iter(messages)

    async def receive() -> Message:
        await asyncio.sleep(0)
        return next(waiting)

    return receive


async def never() -> Message:
    raise AssertionError("The body must not be read")


async def read_document(
    receive: Receive, headers: dict[bytes, bytes], *, limit_bytes: int, spool: Spool
) -> Document:
    """`squero.api.body.read_document`, with a budget that nobody else uses."""
    return await read_counted(
        receive,
        headers,
        limit_bytes=limit_bytes,
        spool=spool,
        budget=Budget(Settings(home=Path("unused"))),
        holder=None,
    )


async def read(document: bytes | str | Any, spool: Spool, limit_bytes: int = LIMIT) -> Document:
    if not isinstance(document, bytes):
        document = (document if isinstance(document, str) else json.dumps(document)).encode()
    return await read_document(receiving([document]), HEADERS, limit_bytes=limit_bytes, spool=spool)


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def chunked(document: bytes, size: int = 65_536) -> list[bytes]:
    return [document[start : start + size] for start in range(0, len(document), size)]


class TestHeaders:
    @pytest.mark.parametrize(
        "content_type",
        [
            "",
            "text/plain",
            "application/jsonp",
            "multipart/form-data",
            "application/json; charset=latin-1",
        ],
    )
    async def test_content_type(self, spool: Spool, content_type: str) -> None:
        with pytest.raises(UnsupportedContentType):
            await read_document(
                never, {b"content-type": content_type.encode()}, limit_bytes=LIMIT, spool=spool
            )

    @pytest.mark.parametrize(
        "content_type",
        [
            "Application/JSON",
            "application/json;charset=UTF-8",
            'application/json; charset="utf-8"',
            "application/json; charset=utf8",
        ],
    )
    async def test_content_type_spelled_differently(self, spool: Spool, content_type: str) -> None:
        headers = {b"content-type": content_type.encode(), b"content-encoding": b"identity"}
        read = await read_document(receiving([b"{}"]), headers, limit_bytes=LIMIT, spool=spool)
        assert read.fields == {}

    async def test_content_encoding(self, spool: Spool) -> None:
        headers = HEADERS | {b"content-encoding": b"gzip"}
        with pytest.raises(UnsupportedContentType, match="uncompressed"):
            await read_document(never, headers, limit_bytes=LIMIT, spool=spool)

    @pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 5000])
    async def test_declared_too_large_is_not_read(self, spool: Spool, length: str) -> None:
        headers = HEADERS | {b"content-length": length.encode()}
        with pytest.raises(PayloadTooLarge):
            await read_document(never, headers, limit_bytes=LIMIT, spool=spool)

    async def test_undeclared_too_large_is_not_read_on(self, spool: Spool) -> None:
        document = json.dumps({"image_url": data_url(bytes(3_000_000))}).encode()
        chunks = chunked(document)
        receive = receiving(chunks)
        with pytest.raises(PayloadTooLarge):
            await read_document(receive, HEADERS, limit_bytes=1_000_000, spool=spool)
        rest = 1
        while (await receive())["more_body"]:
            rest += 1
        assert rest == len(chunks) - 16


class TestMedia:
    async def test_data_url_in_its_place(self, spool: Spool) -> None:
        image = os.urandom(1_500_001)
        document = {"model": "m", "image_url": data_url(image), "references": ["x", data_url(b"y")]}
        receive = receiving(chunked(json.dumps(document).encode()))
        async with await read_document(receive, HEADERS, limit_bytes=LIMIT, spool=spool) as read:
            url = read.fields["image_url"]
            assert isinstance(url, DataUrl)
            assert url.media_type == "image/png"
            assert url.spooled.reader().read() == image
            assert list(read.media) == [("image_url",), ("references", 1)]
            assert read.fields["model"] == "m"
        with pytest.raises(ValueError, match="closed"):
            url.spooled.reader()

    async def test_unreadable_names_its_field(self, spool: Spool) -> None:
        document = {"a": data_url(b"good"), "image_url": "data:image/png;base64,Q"}
        with pytest.raises(InvalidRequest) as refused:
            await read(document, spool)
        (issue,) = refused.value.issues
        assert (issue.path, issue.message) == (("image_url",), "Invalid data URL")

    async def test_forged_tokens_stay_text(self, spool: Spool) -> None:
        forged = {"a": "0" * 33, "b": {"media_type": "x"}, "c": data_url(b"z")}
        async with await read(forged, spool) as document:
            assert list(document.media) == [("c",)]
            assert document.fields["a"] == "0" * 33

    async def test_no_media_needs_neither_thread_nor_file(
        self, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("A thread was used")

        monkeypatch.setattr("anyio.to_thread.run_sync", refuse)
        async with await read({"prompt": "x" * 2500}, spool) as document:
            assert document.fields == {"prompt": "x" * 2500}
        assert not (tmp_path / "spool").exists()

    @pytest.mark.parametrize("end", ["leaves", "cancelled", "disk"])
    async def test_nothing_is_left_when_the_upload_breaks_off(
        self, spool: Spool, end: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = open_files()
        document = json.dumps({"image_url": data_url(bytes(2_000_000))}).encode()
        receive = receiving(chunked(document)[:-1], whole=False)
        opened, cancelled = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        plain = Spool.open

        def open_spool(self: Spool, most_bytes: int | None = None) -> Any:
            loop.call_soon_threadsafe(opened.set)
            if end == "cancelled":
                cancelled.wait()
            writer = plain(self, most_bytes)
            if end == "disk":
                monkeypatch.setattr(writer, "write", lambda _: (_ for _ in ()).throw(OSError(28)))
            return writer

        monkeypatch.setattr(Spool, "open", open_spool)
        task = asyncio.create_task(read_document(receive, HEADERS, limit_bytes=LIMIT, spool=spool))
        if end == "cancelled":
            await opened.wait()
            task.cancel()
            await anyio.wait_all_tasks_blocked()
            cancelled.set()
        error = {"leaves": ClientDisconnect, "cancelled": asyncio.CancelledError, "disk": OSError}
        with pytest.raises(error[end]):
            await task
        assert opened.is_set()
        assert open_files() == before


class TestJson:
    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"{",
            b"{} {}",
            b"\xef\xbb\xbf{}",
            '{"a": 1}'.encode("utf-16"),
            b'{"a": "\xff"}',
            b'{"a": "\xed\xa0\x80"}',
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b'{"a": -Infinity}',
            b'{"a": 1e999}',
            b'{"a": ' + b"9" * 101 + b"}",
            b'{"a": ' + b"9" * 100_000 + b"}",
            b'{"a": 1, "a": 2}',
            b'{"b": {"a": 1, "\\u0061": 2}}',
            b'{"a": "\n"}',
            b'{"a": "\x00"}',
            b"{'a': 1}",
            b'{"a":' * 40 + b"1" + b"}" * 40,
            b"[" * 100_000,
            b'{"a": "data:;base64,QQ==',
        ],
    )
    async def test_refused(self, spool: Spool, document: bytes) -> None:
        with pytest.raises(InvalidJson) as refused:
            await read(document, spool)
        assert str(refused.value) == "Invalid JSON request"
        assert refused.value.__suppress_context__ or refused.value.__context__ is None

    @pytest.mark.parametrize(
        ("document", "path"),
        [
            ('{"a": "\\ud800"}', ("a",)),
            ('{"a": {"b": [1, "x\\u0000"]}}', ("a", "b", 1)),
            ('{"a": {"\\u0000": 1}}', ("a",)),
            ('{"a": {"\\udfff": 1}}', ("a",)),
            ('{"%s": "\\u0000"}' % ("k" * 1000), ()),
        ],
    )
    async def test_text_that_no_database_holds(
        self, spool: Spool, document: str, path: tuple[str | int, ...]
    ) -> None:
        with pytest.raises(InvalidRequest) as refused:
            await read(document, spool)
        assert [issue.path for issue in refused.value.issues] == [path]

    @pytest.mark.parametrize(
        ("document", "kind"),
        [
            ("[]", "array"),
            ('"a"', "string"),
            ("1", "number"),
            ("true", "boolean"),
            ("null", "null"),
        ],
    )
    async def test_anything_but_an_object(self, spool: Spool, document: str, kind: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            await read(document, spool)
        (issue,) = refused.value.issues
        assert (issue.path, issue.expected, issue.received) == ((), "object", kind)

    async def test_good_text_stays(self, spool: Spool) -> None:
        document = await read('{"a": "\\ud83d\\ude00 \\\\u0000", "n": [1.5, -2, 1e3]}', spool)
        assert document.fields == {"a": "😀 \\u0000", "n": [1.5, -2, 1000.0]}

    async def test_no_refusal_repeats_the_client(self, spool: Spool) -> None:
        secret = "sesame" * 60
        for document in (
            f'{{"{secret}": "\\u0000"}}',
            f'{{"{secret}": "data:;base64,Q"}}',
            f'{{"{secret}": 1, "{secret}": 2}}',
            f'{{"a": {secret}}}',
        ):
            with pytest.raises(Refused) as refused:
                await read(document, spool)
            assert "sesame" not in repr(getattr(refused.value, "issues", refused.value))


class TestBatches:
    """How often a thread is asked to decode and seal."""

    @pytest.mark.parametrize(
        ("size", "declares", "batches"),
        [(200_000, True, 1), (200_000, False, 2), (380_000, True, 1), (1_000_000, True, 4)],
    )
    async def test_the_last_is_not_parted(
        self,
        spool: Spool,
        monkeypatch: pytest.MonkeyPatch,
        size: int,
        declares: bool,
        batches: int,
    ) -> None:
        settled = []
        settle = Scanner.settle

        def noting(self: Scanner, spool: Spool) -> None:
            settled.append(self)
            settle(self, spool)

        monkeypatch.setattr(Scanner, "settle", noting)
        body = json.dumps({"image_url": data_url(os.urandom(size))}).encode()
        headers = {**HEADERS, b"content-length": b"%d" % len(body)} if declares else HEADERS
        receive = receiving(chunked(body))
        async with await read_document(receive, headers, limit_bytes=LIMIT, spool=spool) as read:
            assert read.media[("image_url",)].spooled.size == size
        assert len(settled) == batches


class TestManyUploads:
    async def test_never_in_the_loop_and_never_much_in_memory(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoders: set[int] = set()

        def noting(text: bytes) -> bytes:
            decoders.add(threading.get_ident())
            return binascii.a2b_base64(text, strict_mode=True)

        monkeypatch.setattr("squero.api.base64.decoded", noting)
        media = os.urandom(2_000_000)
        chunks = chunked(json.dumps({"image_url": data_url(media)}).encode())

        async def upload() -> bytes:
            receive = receiving(chunks)
            async with await read_document(
                receive, HEADERS, limit_bytes=LIMIT, spool=spool
            ) as read:
                return read.media[("image_url",)].spooled.digest

        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        digests = await asyncio.gather(*(upload() for _ in range(10)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert set(digests) == {hashlib.sha256(media).digest()}
        assert threading.get_ident() not in decoders
        assert peak - before < 10 * 5 * BATCH_BYTES < 10 * len(media)
