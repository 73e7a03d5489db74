"""Hostile spellings: URLs that some parser, somewhere, would take for one forbidden address."""

import random
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

TARGETS = [
    "127.0.0.1",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.1.1",
    "224.0.0.1",
    "255.255.255.255",
]
"""One address of every kind that must never be dialled."""

_FULLWIDTH = {ord(char): 0xFF10 + int(char) for char in "0123456789"}
_CIRCLED = {ord(char): 0x2460 + int(char) - 1 for char in "123456789"}
_DOTS = "\u3002\uff0e\uff61"


def spellings(seed: int, count: int) -> Iterator[str]:
    """As many URLs, each hiding one of the TARGETS; the same for the same seed."""
    draw = random.Random(seed)
    for _ in range(count):
        yield _url(draw, _host(draw, IPv4Address(draw.choice(TARGETS))))


def _host(draw: random.Random, address: IPv4Address) -> str:
    spell = draw.choice(_NUMBERS if draw.random() < 0.6 else _WRAPPERS)
    host = spell(draw, address)
    disguise = draw.random()
    if disguise < 0.1:
        host = host.translate(_FULLWIDTH)
    elif disguise < 0.2:
        host = host.translate(_CIRCLED)
    elif disguise < 0.3:
        host = host.replace(".", draw.choice(_DOTS))
    elif disguise < 0.4:
        place = draw.randrange(len(host))
        host = f"{host[:place]}%{ord(host[place]):02x}{host[place + 1 :]}"
    elif disguise < 0.5:
        host += "." * draw.randint(1, 2)
    return host


def _number(draw: random.Random, value: int) -> str:
    base = draw.choice(["d", "o", "x", "X"])
    zeros = "0" * draw.choice([0, 0, 0, 1, 3, 12])
    if base == "d":
        return str(value)
    if base == "o":
        return f"0{zeros}{value:o}"
    return f"0{base}{zeros}{value:{base}}"


def _parts(draw: random.Random, address: IPv4Address) -> str:
    """One to four numbers in any base, as `inet_aton` reads them."""
    count = draw.randint(1, 4)
    packed = address.packed
    numbers = [*packed[: count - 1], int.from_bytes(packed[count - 1 :])]
    return ".".join(_number(draw, number) for number in numbers)


def _plain(draw: random.Random, address: IPv4Address) -> str:
    return str(address)


def _overflowing(draw: random.Random, address: IPv4Address) -> str:
    return str(int(address) + 2**32 * draw.randint(1, 3))


_NUMBERS: list[Callable[[random.Random, IPv4Address], str]] = [_parts, _parts, _plain, _overflowing]


def _six(draw: random.Random, value: int) -> str:
    address = IPv6Address(value)
    text = draw.choice([address.compressed, address.exploded, address.compressed.upper()])
    zone = draw.choice(["", "", "", "%eth0", "%25lo", "%251"])
    return f"[{text}{zone}]"


def _dotted(draw: random.Random, address: IPv4Address) -> str:
    prefix = draw.choice(["::ffff:", "::", "64:ff9b::", "0:0:0:0:0:ffff:", "::FFFF:"])
    return f"[{prefix}{address}]"


def _carried(shift: int, prefix: int) -> Callable[[random.Random, IPv4Address], str]:
    return lambda draw, address: _six(draw, prefix | int(address) << shift)


def _teredo(draw: random.Random, address: IPv4Address) -> str:
    inverted = ~int(address) & 0xFFFFFFFF
    return _six(draw, 0x20010000 << 96 | 0x08080808 << 64 | inverted)


def _native(draw: random.Random, address: IPv4Address) -> str:
    texts = [
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "fec0::1",
        "2001:db8::1",
    ]
    return _six(draw, int(IPv6Address(draw.choice(texts))))


_WRAPPERS: list[Callable[[random.Random, IPv4Address], str]] = [
    _dotted,
    _carried(0, 0xFFFF << 32),
    _carried(0, 0),
    _carried(0, 0x0064FF9B << 96),
    _carried(80, 0x2002 << 112),
    _teredo,
    _native,
]


def _url(draw: random.Random, host: str) -> str:
    scheme = draw.choice(["http", "https", "HTTP", "hTTps"])
    decoy = "media.example.com"
    port = draw.choice(["", "", "", ":80", ":443", ":080", ":0", ":", ":22", ":\uff18\uff10"])
    shape = draw.choice(
        [
            f"{scheme}://{host}{port}/",
            f"{scheme}://{host}{port}/",
            f"{scheme}://{host}{port}/",
            f"{scheme}://{host}{port}?a=b",
            f"{scheme}://{decoy}@{host}{port}/",
            f"{scheme}://{decoy}:80@{host}{port}/",
            f"{scheme}://{decoy}\\@{host}{port}/",
            f"{scheme}:\\\\{host}{port}\\",
            f"{scheme}:{host}{port}/",
            f"{scheme}:///{host}{port}/",
            f"//{host}{port}/",
            f" {scheme}://{host}{port}/",
            f"{scheme}://\t{host}{port}/",
            f"{scheme}://{host[:2]}\n{host[2:]}{port}/",
            f"{scheme}://{host}\x00.{decoy}{port}/",
            f"{scheme}://{host} {decoy}/",
        ]
    )
    return shape
