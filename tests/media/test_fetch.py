"""Fetching a customer's URL, over real sockets; only names and routes are the tests' own."""

import asyncio
import datetime
import gzip
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import anyio
import pytest
from anyio.abc import ByteStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from squero.errors import AtCapacity
from squero.media import dial as dial_module
from squero.media.addresses import Rules
from squero.media.dial import Network
from squero.media.fetch import Fetcher, FetchFailed, Limits, UrlRefused
from squero.media.spool import Spool
from squero.media.turns import Holder
from squero.media.urls import Address
from tests.media.spellings import spellings

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"
OTHER = "93.184.215.15"
PIECE = b"x" * 1000
PATIENT = Limits(connect_seconds=0.5)
QUICK = Limits(connect_seconds=0.5, idle_seconds=0.3, seconds=2)

Reply = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Street(Network):
    """A network of the test's own: names and addresses of its making, behind them real sockets."""

    def __init__(self, names: dict[str, list[list[str]]]) -> None:
        super().__init__()
        self.names = names
        self.ports: dict[tuple[str, int], int] = {}
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []

    async def resolve(self, name: str, holder: Holder = None) -> list[Address]:
        self.asked.append(name)
        answers = self.names.get(name.removesuffix("."))
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(text) for text in answer]

    async def connect(self, address: Address, port: int) -> ByteStream:
        self.dialled.append((str(address), port))
        return await anyio.connect_tcp("127.0.0.1", self.ports[(str(address), port)])


class Site:
    """A server that gives each request to its reply, and remembers the heads it was sent."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.heads: list[bytes] = []
        self.open = 0
        self.peak = 0
        self.gone = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            reply = asyncio.ensure_future(self.reply(head, writer))
            ended = asyncio.ensure_future(reader.read())
            await asyncio.wait({reply, ended}, return_when=asyncio.FIRST_COMPLETED)
            for task in (reply, ended):
                task.cancel()
            await asyncio.gather(reply, ended, return_exceptions=True)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self.gone.set()
            writer.close()


@asynccontextmanager
async def site(
    reply: Reply, street: Street, *places: tuple[str, int], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Site]:
    """A running Site at these places of the street."""
    running = Site(reply)
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0, ssl=tls)
    for place in places:
        street.ports[place] = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        await asyncio.sleep(0)


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> Reply:
    """A reply with this body."""

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        declared = len(body) if length is None else length
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {declared}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return reply


def redirect(place: str, status: str = "302 Found") -> Reply:
    """A reply that leads somewhere else."""
    return answer(b"", f"Location: {place}", status=status)


def raw(data: bytes, *, then: Reply | None = None) -> Reply:
    """A reply of exactly these bytes."""

    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then is not None:
            await then(head, writer)

    return reply


async def silence(_: bytes, __: asyncio.StreamWriter) -> None:
    """A reply that never goes on."""
    await asyncio.Event().wait()


def repeated(piece: bytes, *, pause: float = 0) -> Reply:
    """A reply that goes on for ever."""

    async def reply(_: bytes, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return reply


@pytest.fixture
def street() -> Street:
    return Street({"media.example.com": [[PUBLIC]], "other.example.com": [[OTHER]]})


@pytest.fixture
def open_files() -> Callable[[], int]:
    return lambda: len(list(Path("/proc/self/fd").iterdir()))


def fetcher(
    tmp_path: Path, street: Network, rules: Rules | None = None, limits: Limits = PATIENT
) -> Fetcher:
    return Fetcher(Spool(tmp_path), rules or Rules(), limits=limits, network=street)


async def fetched(fetch: Fetcher, url: str, limit_bytes: int = 1_000_000) -> bytes:
    """What is at the URL."""
    arrived = await fetch.fetch({"image_url": url}, {"image_url": limit_bytes})
    with arrived["image_url"] as spooled:
        assert spooled.size <= limit_bytes
        return spooled.reader().read()


async def assert_fails(fetch: Fetcher, url: str, limit_bytes: int = 1_000_000) -> None:
    """The URL gives the one answer of every failure, and nothing in it tells which."""
    with pytest.raises(FetchFailed) as caught:
        await fetched(fetch, url, limit_bytes)
    failed = caught.value
    assert [issue.message for issue in failed.issues] == [
        "The media could not be fetched from its URL"
    ]
    assert [issue.path for issue in failed.issues] == [("image_url",)]
    assert failed.__cause__ is None and failed.__context__ is None
    assert "example" not in repr(failed) + str(failed)


class TestFetch:
    async def test_media_arrives_as_it_was_sent(self, tmp_path: Path, street: Street) -> None:
        data = os.urandom(700_000)
        async with site(answer(data), street, (PUBLIC, 80)) as there:
            url = "http://media.example.com/a.png?token=1"
            assert await fetched(fetcher(tmp_path, street), url) == data
        assert there.heads[0].startswith(b"GET /a.png?token=1 HTTP/1.1\r\nHost: media.example.com")
        assert street.asked == ["media.example.com."]
        assert street.dialled == [(PUBLIC, 80)]

    async def test_chunked_and_undeclared_bodies(self, tmp_path: Path, street: Street) -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + PIECE
        async with site(raw(chunked + b"\r\n0\r\n\r\n"), street, (PUBLIC, 80)):
            assert await fetched(fetcher(tmp_path, street), "http://media.example.com/") == PIECE
        async with site(raw(b"HTTP/1.0 200 OK\r\n\r\n" + PIECE), street, (PUBLIC, 80)):
            assert await fetched(fetcher(tmp_path, street), "http://media.example.com/") == PIECE

    async def test_small_chunks(self, tmp_path: Path, street: Street) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = b"64\r\n" + b"x" * 100 + b"\r\n"
        async with site(raw(head + chunks * 5000 + b"0\r\n\r\n"), street, (PUBLIC, 80)):
            data = await fetched(fetcher(tmp_path, street), "http://media.example.com/")
        assert data == b"x" * 100 * 5000

    async def test_interim_answers_are_passed_over(self, tmp_path: Path, street: Street) -> None:
        reply = raw(b"HTTP/1.1 103 Early Hints\r\n\r\n", then=answer(PIECE))
        async with site(reply, street, (PUBLIC, 80)):
            assert await fetched(fetcher(tmp_path, street), "http://media.example.com/") == PIECE

    async def test_nothing_of_ours_is_sent(
        self, tmp_path: Path, street: Street, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9/")
        reply = answer(PIECE, "Set-Cookie: a=b; Path=/")
        async with site(reply, street, (PUBLIC, 80)) as there:
            fetch = fetcher(tmp_path, street)
            for _ in range(2):
                assert await fetched(fetch, "http://media.example.com/") == PIECE
        names = [line.partition(b":")[0] for line in there.heads[1].split(b"\r\n")[1:] if line]
        assert names == [b"Host", b"User-Agent", b"Accept", b"Accept-Encoding", b"Connection"]
        assert b"Accept-Encoding: identity" in there.heads[1]
        assert there.heads[0] == there.heads[1]

    async def test_several_at_once_and_two_sockets_a_host(
        self, tmp_path: Path, street: Street
    ) -> None:
        both = asyncio.Event()

        async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
            if there.open == 2:
                both.set()
            await both.wait()
            await answer(head.split()[1])(head, writer)

        async with site(reply, street, (PUBLIC, 80)) as there:
            urls = {f"url{n}": f"http://media.example.com/{n}" for n in range(4)}
            limits = dict.fromkeys(urls, 100)
            arrived = await fetcher(tmp_path, street).fetch(urls, limits)
        assert list(arrived) == list(urls)
        assert [arrived[name].reader().read() for name in urls] == [b"/0", b"/1", b"/2", b"/3"]
        assert there.peak == 2
        for spooled in arrived.values():
            spooled.close()

    async def test_no_url_no_fetch(self, tmp_path: Path, street: Street) -> None:
        assert await fetcher(tmp_path, street).fetch({}, {}) == {}


class TestRefusal:
    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("ftp://media.example.com/", "begin with http"),
            ("http://media.example.com:8080/", "port must be 80 or 443"),
            ("http://a:b@media.example.com/", "user name or password"),
            ("http://media.example.com/" + "a" * 2048, "2048"),
            ("http://127.1/", "host is invalid"),
            ("http://localhost:8000/", "port must be 80 or 443"),
        ],
    )
    async def test_the_url_as_written(
        self, tmp_path: Path, street: Street, url: str, words: str
    ) -> None:
        with pytest.raises(UrlRefused) as caught:
            urls = {"a": "http://media.example.com/", "b": url}
            await fetcher(tmp_path, street).fetch(urls, {"a": 1, "b": 1})
        assert caught.value.field == "b"
        assert words in caught.value.issues[0].message
        assert street.asked == []

    async def test_too_many(self, tmp_path: Path, street: Street) -> None:
        urls = {f"url{n}": "http://media.example.com/" for n in range(5)}
        with pytest.raises(UrlRefused, match="Invalid request") as caught:
            await fetcher(tmp_path, street).fetch(urls, dict.fromkeys(urls, 1))
        assert caught.value.field == "url4"


class TestAddress:
    async def test_the_checked_address_is_the_dialled_one(
        self, tmp_path: Path, street: Street
    ) -> None:
        street.names["rebound.example.com"] = [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]]
        async with site(answer(PIECE), street, (PUBLIC, 80)):
            fetch = fetcher(tmp_path, street)
            assert await fetched(fetch, "http://rebound.example.com/") == PIECE
            assert street.asked == ["rebound.example.com."]
            await assert_fails(fetch, "http://rebound.example.com/")
        assert street.dialled == [(PUBLIC, 80)]

    @pytest.mark.parametrize(
        "answers",
        [
            ["127.0.0.1"],
            ["10.0.0.1"],
            ["168.63.129.16"],
            ["::1"],
            ["::ffff:93.184.215.14"],
            ["64:ff9b::5db8:d70e"],
            [PUBLIC, "10.0.0.1"],
            ["10.0.0.1", PUBLIC],
            [],
        ],
    )
    async def test_one_forbidden_answer_forbids_the_name(
        self, tmp_path: Path, street: Street, answers: list[str]
    ) -> None:
        street.names["inside.example.com"] = [answers]
        street.ports = dict.fromkeys([(text, 80) for text in [*answers, PUBLIC]], 9)
        await assert_fails(fetcher(tmp_path, street), "http://inside.example.com/")
        assert street.dialled == []

    async def test_own_addresses(
        self, tmp_path: Path, street: Street, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = frozenset({ip_address(PUBLIC)})
        monkeypatch.setattr(dial_module, "own_addresses", lambda: own)
        await assert_fails(fetcher(tmp_path, street), "http://media.example.com/")
        await assert_fails(fetcher(tmp_path, street), f"http://{PUBLIC}/")
        assert street.dialled == []

    async def test_the_next_address_is_tried(self, tmp_path: Path, street: Street) -> None:
        street.names["media.example.com"] = [[OTHER, PUBLIC]]
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            street.ports[(OTHER, 80)] = closed.getsockname()[1]
            async with site(answer(PIECE), street, (PUBLIC, 80)):
                assert await fetched(fetcher(tmp_path, street), "http://media.example.com/")
        assert street.dialled == [(OTHER, 80), (PUBLIC, 80)]

    async def test_no_spelling_leads_inside(self, tmp_path: Path) -> None:
        class Gullible(Street):
            """Reads names the way the most lenient resolver does."""

            async def resolve(self, name: str, holder: Holder = None) -> list[Address]:
                self.asked.append(name)
                try:
                    packed = socket.inet_aton(name.removesuffix("."))
                except OSError:
                    return [ip_address("127.0.0.1")]
                return [ip_address(packed)]

        street = Gullible({})
        hasty = Limits(connect_seconds=0, seconds=1)
        fetch = Fetcher(Spool(tmp_path), Rules(), limits=hasty, network=street)
        refused = 0
        for url in spellings(seed=6, count=1000):
            with pytest.raises((UrlRefused, FetchFailed)) as caught:
                await fetched(fetch, url)
            refused += caught.type is UrlRefused
        assert street.dialled == []
        assert refused > 800

    async def test_a_lookup_that_hangs(self, tmp_path: Path) -> None:
        class Hanging(Street):
            async def resolve(self, name: str, holder: Holder = None) -> list[Address]:
                await anyio.sleep_forever()
                return []

        await assert_fails(fetcher(tmp_path, Hanging({})), "http://media.example.com/")

    async def test_lookups_that_hang_are_their_holders_affair(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released, real = Event(), socket.getaddrinfo

        def look_up(name: str, *arguments: Any, **options: Any) -> Any:
            if name == "slow.test":
                released.wait()
                name = "localhost"
            return real(name, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        network, holder = Network(), uuid4()
        slow = [asyncio.ensure_future(network.resolve("slow.test", holder)) for _ in range(80)]
        try:
            await asyncio.sleep(0)
            # Left behind: the threads go on, and are still this holder's.
            for lookup in slow[:40]:
                lookup.cancel()
            async with asyncio.timeout(5):
                assert await network.resolve("localhost", uuid4())
            assert not any(lookup.done() for lookup in slow[40:])
        finally:
            released.set()
        assert await asyncio.gather(*slow[40:])

    async def test_the_real_lookup(self) -> None:
        assert set(await Network().resolve("localhost")) <= {
            ip_address("127.0.0.1"),
            ip_address("::1"),
        }

    async def test_inside_unknown_and_closed_take_the_same_time(
        self, tmp_path: Path, street: Street
    ) -> None:
        street.names["inside.example.com"] = [["10.0.0.1"]]
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            street.ports[(PUBLIC, 80)] = closed.getsockname()[1]
            spent = []
            for host in ("inside.example.com", "unknown.example.com", "media.example.com"):
                start = anyio.current_time()
                await assert_fails(fetcher(tmp_path, street), f"http://{host}/")
                spent.append(anyio.current_time() - start)
        assert min(spent) >= PATIENT.connect_seconds
        assert max(spent) < 2 * min(spent)


class TestRedirect:
    @pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
    async def test_is_followed_and_checked(
        self, tmp_path: Path, street: Street, status: str
    ) -> None:
        away = redirect("http://other.example.com/b?c", status)
        async with (
            site(away, street, (PUBLIC, 80)),
            site(answer(PIECE), street, (OTHER, 80)) as there,
        ):
            assert await fetched(fetcher(tmp_path, street), "http://media.example.com/") == PIECE
        assert there.heads[0].startswith(b"GET /b?c HTTP/1.1\r\nHost: other.example.com\r\n")
        assert street.asked == ["media.example.com.", "other.example.com."]

    @pytest.mark.parametrize(("count", "arrives"), [(3, True), (4, False)])
    async def test_three_at_most(
        self, tmp_path: Path, street: Street, count: int, arrives: bool
    ) -> None:
        async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
            number = int(head.split()[1].strip(b"/"))
            await (redirect(f"/{number - 1}") if number else answer(PIECE))(head, writer)

        async with site(reply, street, (PUBLIC, 80)) as there:
            url = f"http://media.example.com/{count}"
            if arrives:
                assert await fetched(fetcher(tmp_path, street), url) == PIECE
            else:
                await assert_fails(fetcher(tmp_path, street), url)
        assert len(there.heads) == 4

    @pytest.mark.parametrize(
        "place",
        [
            "http://127.0.0.1/",
            "http://169.254.169.254/latest/",
            "http://inside.example.com/",
            "http://localhost/",
            "http://2130706433/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::1]/",
            "http://other.example.com:22/",
            "http://a@other.example.com/",
            "//inside.example.com/",
            "file:///etc/passwd",
            "gopher://other.example.com/",
            "http://other.example.com\\@a/",
            "",
        ],
    )
    async def test_to_nowhere_else(self, tmp_path: Path, street: Street, place: str) -> None:
        street.names["inside.example.com"] = [["10.0.0.1"]]
        street.names["localhost"] = [["127.0.0.1"]]
        async with (
            site(redirect(place), street, (PUBLIC, 80)) as there,
            site(answer(PIECE), street, (OTHER, 80), ("10.0.0.1", 80), ("127.0.0.1", 80)) as away,
        ):
            await assert_fails(fetcher(tmp_path, street), "http://media.example.com/")
        assert away.heads == []
        assert there.heads
        assert {address for address, _ in street.dialled} == {PUBLIC}

    @pytest.mark.parametrize(
        "headers", [[], ["Location: /a", "Location: /b"], ["Location: /\udcff"]]
    )
    async def test_without_one_clear_place(
        self, tmp_path: Path, street: Street, headers: list[str]
    ) -> None:
        lines = ["HTTP/1.1 302 Found", "Content-Length: 0", *headers, "", ""]
        data = "\r\n".join(lines).encode(errors="surrogateescape")
        async with site(raw(data), street, (PUBLIC, 80)) as there:
            await assert_fails(fetcher(tmp_path, street), "http://media.example.com/")
        assert len(there.heads) == 1


class TestTls:
    @pytest.fixture
    def certificate(self) -> tuple[bytes, bytes]:
        """A certificate for media.example.com, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "media.example.com")])
        now = datetime.datetime.now(datetime.UTC)
        built = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("media.example.com")]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = built.public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return pem, private

    @pytest.fixture
    def server_tls(self, certificate: tuple[bytes, bytes], tmp_path: Path) -> ssl.SSLContext:
        path = tmp_path / "server.pem"
        path.write_bytes(b"".join(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    @pytest.fixture
    def trusting(self, street: Street, certificate: tuple[bytes, bytes]) -> Street:
        street.tls.load_verify_locations(cadata=certificate[0].decode())
        return street

    async def test_the_name_is_verified_at_the_checked_address(
        self, tmp_path: Path, trusting: Street, server_tls: ssl.SSLContext
    ) -> None:
        seen: list[str | None] = []
        server_tls.sni_callback = lambda _, name, __: seen.append(name)
        async with site(answer(PIECE), trusting, (PUBLIC, 443), tls=server_tls):
            fetch = fetcher(tmp_path, trusting, limits=Limits())
            assert await fetched(fetch, "https://media.example.com/") == PIECE
        assert seen == ["media.example.com"]
        assert trusting.dialled == [(PUBLIC, 443)]

    async def test_a_certificate_for_another_name(
        self, tmp_path: Path, trusting: Street, server_tls: ssl.SSLContext
    ) -> None:
        async with site(answer(PIECE), trusting, (OTHER, 443), tls=server_tls) as there:
            await assert_fails(
                fetcher(tmp_path, trusting, limits=Limits()), "https://other.example.com/"
            )
        assert there.heads == []

    async def test_a_certificate_of_nobody_known(
        self, tmp_path: Path, street: Street, server_tls: ssl.SSLContext
    ) -> None:
        async with site(answer(PIECE), street, (PUBLIC, 443), tls=server_tls) as there:
            await assert_fails(
                fetcher(tmp_path, street, limits=Limits()), "https://media.example.com/"
            )
        assert there.heads == []

    async def test_no_tls_behind_the_port(self, tmp_path: Path, trusting: Street) -> None:
        async with site(answer(PIECE), trusting, (PUBLIC, 443)):
            await assert_fails(fetcher(tmp_path, trusting), "https://media.example.com/")

    async def test_never_from_https_to_http(
        self, tmp_path: Path, trusting: Street, server_tls: ssl.SSLContext
    ) -> None:
        away = redirect("http://other.example.com/")
        async with (
            site(away, trusting, (PUBLIC, 443), tls=server_tls),
            site(answer(PIECE), trusting, (OTHER, 80)) as there,
        ):
            await assert_fails(
                fetcher(tmp_path, trusting, limits=Limits()), "https://media.example.com/"
            )
        assert there.heads == []

    async def test_from_http_to_https(
        self, tmp_path: Path, trusting: Street, server_tls: ssl.SSLContext
    ) -> None:
        async with (
            site(redirect("https://media.example.com/"), trusting, (PUBLIC, 80)),
            site(answer(PIECE), trusting, (PUBLIC, 443), tls=server_tls),
        ):
            fetch = fetcher(tmp_path, trusting, limits=Limits())
            assert await fetched(fetch, "http://media.example.com/") == PIECE


ENDLESS = raw(b"HTTP/1.1 200 OK\r\n\r\n", then=repeated(PIECE))
FAILURES: dict[str, Reply] = {
    "not found": answer(b"", status="404 Not Found"),
    "not modified": answer(b"", status="304 Not Modified"),
    "part of it": answer(PIECE, status="206 Partial Content"),
    "too much declared": answer(b"", length=2_000_000),
    "too much sent": answer(b"y" * 1_000_001),
    "endless body": ENDLESS,
    "more than declared is less than it": answer(PIECE, length=2000),
    "cut chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nx"),
    "two lengths": answer(PIECE, "Content-Length: 1"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "nothing": raw(b""),
    "silence": silence,
    "silence in the head": raw(b"HTTP/1.1 200 OK\r\nContent-", then=silence),
    "silence in the body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", then=silence),
    "slow head": raw(b"HTTP/1.1 200 OK\r\nA: ", then=repeated(b"a", pause=0.1)),
    "slow body": raw(b"HTTP/1.1 200 OK\r\n\r\n", then=repeated(b"a", pause=0.1)),
    "huge header": raw(b"HTTP/1.1 200 OK\r\nA: ", then=repeated(PIECE)),
    "endless headers": raw(b"HTTP/1.1 200 OK\r\n", then=repeated(b"A: a\r\n" * 100)),
    "endless interim answers": repeated(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10),
    "nothing but framing": raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        then=repeated(b"1;" + b"a" * 98 + b"\r\nx\r\n"),
    ),
}


class TestFailure:
    @pytest.mark.parametrize("reply", FAILURES.values(), ids=FAILURES.keys())
    async def test_has_one_answer_and_leaves_nothing(
        self, tmp_path: Path, street: Street, reply: Reply, open_files: Callable[[], int]
    ) -> None:
        fetch = fetcher(tmp_path, street, limits=QUICK)
        async with site(reply, street, (PUBLIC, 80)) as there:
            before = open_files()
            start = anyio.current_time()
            await assert_fails(fetch, "http://media.example.com/?token=1")
            assert anyio.current_time() - start < QUICK.seconds + 1
            with anyio.fail_after(5):
                await there.gone.wait()
                while open_files() > before:
                    await asyncio.sleep(0)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "name", ["endless headers", "endless interim answers", "nothing but framing"]
    )
    async def test_framing_is_not_waited_out(
        self, tmp_path: Path, street: Street, name: str
    ) -> None:
        async with site(FAILURES[name], street, (PUBLIC, 80)):
            with anyio.fail_after(PATIENT.seconds / 3):
                url = "http://media.example.com/"
                await assert_fails(fetcher(tmp_path, street), url, PATIENT.bytes)

    @pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n\r\n", b""], ids=["open", "declared"])
    async def test_the_limit_is_exact(self, tmp_path: Path, street: Street, head: bytes) -> None:
        reply = raw(head + PIECE) if head else answer(PIECE)
        fetch = fetcher(tmp_path, street)
        async with site(reply, street, (PUBLIC, 80)):
            url = "http://media.example.com/"
            assert await fetched(fetch, url, len(PIECE)) == PIECE
            await assert_fails(fetch, url, len(PIECE) - 1)

    async def test_compressed_media_is_kept_as_it_is(self, tmp_path: Path, street: Street) -> None:
        bomb = gzip.compress(bytes(5_000_000))
        async with site(answer(bomb, "Content-Encoding: gzip"), street, (PUBLIC, 80)):
            assert await fetched(fetcher(tmp_path, street), "http://media.example.com/") == bomb

    async def test_one_fails_all(
        self, tmp_path: Path, street: Street, open_files: Callable[[], int]
    ) -> None:
        arrived = asyncio.Event()

        async def late(head: bytes, writer: asyncio.StreamWriter) -> None:
            await arrived.wait()
            await answer(b"", status="404 Not Found")(head, writer)

        async def early(head: bytes, writer: asyncio.StreamWriter) -> None:
            await answer(PIECE)(head, writer)
            arrived.set()

        fetch = fetcher(tmp_path, street)
        async with (
            site(early, street, (PUBLIC, 80)),
            site(late, street, (OTHER, 80)) as there,
        ):
            before = open_files()
            urls = {"a": "http://media.example.com/", "b": "http://other.example.com/"}
            with pytest.raises(FetchFailed) as caught:
                await fetch.fetch(urls, dict.fromkeys(urls, 10_000))
            with anyio.fail_after(5):
                await there.gone.wait()
                while open_files() > before:
                    await asyncio.sleep(0)
        assert caught.value.field == "b"

    async def test_all_of_a_request_share_its_bytes(self, tmp_path: Path, street: Street) -> None:
        fetch = fetcher(tmp_path, street, limits=Limits(bytes=1500))
        async with site(answer(PIECE), street, (PUBLIC, 80)):
            urls = {"a": "http://media.example.com/", "b": "http://media.example.com/"}
            with pytest.raises(FetchFailed):
                await fetch.fetch(urls, dict.fromkeys(urls, 1000))

    async def test_cancelled(
        self, tmp_path: Path, street: Street, open_files: Callable[[], int]
    ) -> None:
        fetch = fetcher(tmp_path, street)
        asked = asyncio.Event()

        async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + PIECE)
            await writer.drain()
            asked.set()
            await silence(head, writer)

        async with site(reply, street, (PUBLIC, 80)) as there:
            before = open_files()
            async with anyio.create_task_group() as group:
                group.start_soon(fetched, fetch, "http://media.example.com/")
                await asked.wait()
                group.cancel_scope.cancel()
            with anyio.fail_after(5):
                await there.gone.wait()
                while open_files() > before:
                    await asyncio.sleep(0)

    async def test_a_full_disk_is_no_fault_of_the_url(
        self, tmp_path: Path, street: Street, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("squero.media.spool.SpoolWriter.write", full)
        async with site(answer(PIECE), street, (PUBLIC, 80)):
            with pytest.raises(OSError, match="No space left"):
                await fetched(fetcher(tmp_path, street), "http://media.example.com/")

    async def test_no_url_in_any_log(
        self, tmp_path: Path, street: Street, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with site(redirect("http://media.example.com/?token=2"), street, (PUBLIC, 80)):
            await assert_fails(fetcher(tmp_path, street), "http://media.example.com/?token=1")
        assert "token" not in caplog.text
        assert "example.com" not in caplog.text


class TestRules:
    async def test_dev_fetches_from_localhost_on_any_port(self, tmp_path: Path) -> None:
        street = Street({})
        async with site(answer(PIECE), street, ("127.0.0.1", 80)) as there:
            port = street.ports[("127.0.0.1", 80)]
            fetch = fetcher(tmp_path, Network(), Rules(dev=True))
            assert await fetched(fetch, f"http://localhost:{port}/") == PIECE
            await assert_fails(fetch, "http://127.0.0.1/")
            with pytest.raises(UrlRefused):
                await fetched(fetch, f"http://127.0.0.1:{port}/")
        assert f"Host: localhost:{port}\r\n".encode() in there.heads[0]

    async def test_an_allowed_host_is_asked_for_by_its_own_name(
        self, tmp_path: Path, street: Street
    ) -> None:
        street.names["minio.lan"] = [["10.0.0.9"]]
        street.names["other.lan"] = [["10.0.0.9"]]
        async with site(answer(PIECE), street, ("10.0.0.9", 80)):
            fetch = fetcher(tmp_path, street, Rules(frozenset({"minio.lan"})))
            assert await fetched(fetch, "http://minio.lan/") == PIECE
            await assert_fails(fetch, "http://other.lan/")
            await assert_fails(fetch, "http://10.0.0.9/")
        assert street.asked == ["minio.lan", "other.lan."]
        assert street.dialled == [("10.0.0.9", 80)]

    async def test_no_stranger_leads_to_an_allowed_host(
        self, tmp_path: Path, street: Street
    ) -> None:
        street.names["minio.lan"] = [["10.0.0.9"]]
        async with (
            site(redirect("http://minio.lan/b"), street, (PUBLIC, 80)),
            site(answer(PIECE), street, ("10.0.0.9", 80)) as inside,
        ):
            fetch = fetcher(tmp_path, street, Rules(frozenset({"minio.lan"})))
            await assert_fails(fetch, "http://media.example.com/")
        assert inside.heads == []


class TestRoom:
    """What is fetched takes room as it comes, wherever it is kept count of."""

    async def test_for_all_urls_together(self, tmp_path: Path, street: Street) -> None:
        rooms: list[int] = []
        fetch = fetcher(tmp_path, street)
        urls = {"a": "http://media.example.com/", "b": "http://media.example.com/"}
        async with site(answer(PIECE), street, (PUBLIC, 80)):
            arrived = await fetch.fetch(urls, dict.fromkeys(urls, 1000), None, rooms.append)
        for spooled in arrived.values():
            spooled.close()
        assert rooms == sorted(rooms)
        assert rooms[-1] == 2000

    async def test_that_is_not_there(
        self, tmp_path: Path, street: Street, open_files: Callable[[], int]
    ) -> None:
        def cover(size: int) -> None:
            if size > 5000:
                raise AtCapacity

        before = open_files()
        fetch = fetcher(tmp_path, street)
        endless = raw(b"HTTP/1.1 200 OK\r\n\r\n", then=repeated(PIECE))
        async with site(endless, street, (PUBLIC, 80)) as there:
            with pytest.raises(AtCapacity):
                await fetch.fetch({"a": "http://media.example.com/"}, {"a": 1_000_000}, None, cover)
            await there.gone.wait()
        assert open_files() <= before
