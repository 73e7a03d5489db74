"""What is tried in the namespace of `canaries`: spellings of addresses, and names that rebind."""

import asyncio
import os
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from zlib import crc32

import httpx

from squero.errors import Refused
from squero.media.addresses import Rules
from squero.media.fetch import Fetcher, Limits
from squero.media.spool import Spool
from tests.acceptance.conftest import Process
from tests.media.spellings import TARGETS, spellings

from .canaries import BODY, PUBLIC, A, Net, listening

AT_ONCE = 128
DATABASE = "HOSTILE_DATABASE_URL"
ORDER = {"model": "motion-image-to-video", "prompt": "p", "duration": "5s", "resolution": "480p"}
ROOM = {"SQUERO_TIERS__PAID__VIDEO_QUEUE": "1000000", "SQUERO_FAILED_REQUESTS": "1000000"}
_WRITTEN_ANEW = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
    192.0.2.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3
    168.63.129.16/32 ::/3 4000::/2 8000::/1 2001::/32 2001:db8::/32 2002::/16
"""
FORBIDDEN = [ip_network(text) for text in _WRITTEN_ANEW.split()]
"""Not the table that the server uses."""

Try = Callable[[str], Awaitable[str]]
"""Tries one URL; gives how that ended."""


def is_forbidden(dialled: str) -> bool:
    """Whether a canary's address is one that nobody may be led to."""
    address = ip_address(dialled.split(" ")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any(one in net for one in (address, mapped) if one for net in FORBIDDEN)


class Rebinding:
    """Names that lead outside when they are asked for first, and inside later; or both at once."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._asked: Counter[str] = Counter()

    def __call__(self, name: str, kind: int) -> list[str]:
        label, _, zone = name.lower().partition(".")
        target = TARGETS[crc32(label.encode()) % len(TARGETS)]
        inside = target if kind == A else "::1"
        outside = PUBLIC if kind == A else "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
        first = self._asked[f"{name} {kind}"] == 0
        self._asked[f"{name} {kind}"] += 1
        match zone.split(".")[0]:
            case "later":
                return [outside] if first else [inside]
            case "both":
                return self._draw.sample([outside, inside], 2)
            case "six":
                return [outside] if kind == A else ["::1"]
            case "mapped":
                return [outside] if kind == A else [f"::ffff:{target}", "64:ff9b::7f00:1"]
            case "good":
                return [outside]
            case _:
                return [inside]


async def _tried(urls: list[str], attempt: Try) -> Counter[str]:
    """How often each end was met."""
    slots = asyncio.Semaphore(AT_ONCE)
    ends: Counter[str] = Counter()

    async def one(url: str) -> None:
        async with slots:
            ends[await attempt(url)] += 1

    async with asyncio.TaskGroup() as group:
        for url in urls:
            group.create_task(one(url))
    return ends


async def main(way: str, seed: str, spelled: str, rounds: str, *place: str) -> dict[str, Any]:
    """Tries all of them by `way`: "fetcher", or "api" on a server with this home and key."""
    async with listening(Rebinding(int(seed))) as net:
        if way == "fetcher":
            with tempfile.TemporaryDirectory() as folder:
                return await _report(net, _by_fetcher(Path(folder)), seed, spelled, rounds)
        async with _served(*place) as http:
            return await _report(net, _by_api(http), seed, spelled, rounds)


@asynccontextmanager
async def _served(home: str, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that lives in the namespace too."""
    # With a worker: where nobody asks for work, after two minutes every call is 503 before its URL.
    words = ["serve", "--home", home, "--port", "0", "--workers", "1"]
    server = Process(
        words, Path(f"{home}.log"), ROOM | {"SQUERO_DATABASE_URL": os.environ[DATABASE]}
    )
    try:
        url = (await asyncio.to_thread(server.line)).rpartition(" ")[2]
        async with httpx.AsyncClient(
            base_url=f"{url}/api/v1",
            headers={"authorization": f"Bearer {key}"},
            timeout=60,
            trust_env=False,
        ) as http:
            yield http
        await asyncio.to_thread(server.end)
    finally:
        server.close()


async def _report(net: Net, attempt: Try, seed: str, spelled: str, rounds: str) -> dict[str, Any]:
    control = await _controls(net, attempt)
    net.dialled.clear()
    ends = await _tried(list(spellings(int(seed), int(spelled))), attempt)
    hits = [one for one in net.dialled if is_forbidden(one)]
    net.dialled.clear()

    kinds = ("later", "both", "six", "mapped", "inside")
    names = [f"r{number}.{kinds[number % len(kinds)]}.test" for number in range(int(rounds))]
    # Every canary sends its visitor on to a name that leads inside by then.
    net.location = lambda: f"http://{random.choice(names)}/again"
    rebound = await _tried([f"http://{name}/" for name in names], attempt)
    return {
        "control": control,
        "spellings": dict(ends),
        "hits": hits + [one for one in net.dialled if is_forbidden(one)],
        "rebinding": dict(rebound),
        "outside": len(net.dialled),
        "asked": net.asked,
    }


async def _controls(net: Net, attempt: Try) -> dict[str, object]:
    """That a canary sees who comes, inside and outside, and that good URLs are fetched."""
    for target in ("127.0.0.1", "169.254.169.254", "10.0.0.1", "::1"):
        _, writer = await asyncio.open_connection(target, 80)
        writer.close()
    seen = len([one for one in net.dialled if is_forbidden(one)])
    good = [await attempt(f"http://{PUBLIC}/"), await attempt("http://name.good.test/")]
    return {"seen": seen, "good": good}


def _by_fetcher(folder: Path) -> Try:
    fetcher = Fetcher(Spool(folder), Rules(), limits=Limits(connect_seconds=1))

    async def attempt(url: str) -> str:
        try:
            arrived = await fetcher.fetch({"image_url": url}, {"image_url": 1000})
        except Refused as refused:
            return type(refused).__name__
        with arrived["image_url"] as spooled:
            return "arrived" if spooled.reader().read() == BODY else "changed"

    return attempt


def _by_api(http: httpx.AsyncClient) -> Try:
    async def attempt(url: str) -> str:
        answer = await http.post("/video/queue", json=ORDER | {"image_url": url})
        issues = answer.json().get("issues", ())
        return "; ".join([str(answer.status_code), *(str(issue["message"]) for issue in issues)])

    return attempt
