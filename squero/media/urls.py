"""A customer's URL, read in the one way that leaves no second reading.

Browsers, resolvers and libraries disagree about odd spellings of a host; here an odd spelling is
no URL at all, so that what was checked is what is asked for.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote, urljoin

Address = IPv4Address | IPv6Address

LIMIT_CHARACTERS = 2048

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:]+\]|[a-z0-9._-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<target>[/?][^#]*)?(?:#.*)?",
    re.IGNORECASE | re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
_AUTHORITY = re.compile(r"https?://[^/?#]*@", re.IGNORECASE | re.ASCII)
_TARGET_SAFE = "/?:@!$&'()*+,;=-._~%[]"
_NAME_LIMIT_CHARACTERS = 253


class BadUrl(Exception):
    """A text that is no URL to fetch; the words are for the customer and never quote it."""


@dataclass(frozen=True, slots=True, repr=False)
class Url:
    """A URL in its parts. It has no repr of its own: URLs carry secrets in paths and queries."""

    scheme: str
    host: str
    """A DNS name in lower case, or an address in its canonical spelling without brackets."""
    port: int
    target: str
    """Path and query, as they stand in the request line."""

    @property
    def address(self) -> Address | None:
        """The host, if it is an address."""
        return _address(self.host)

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    def joined(self, reference: str) -> "Url":
        """Where a redirect from here leads to; raises BadUrl."""
        _check_text(reference)
        try:
            text = urljoin(f"{self.scheme}://{self.authority}{self.target}", reference)
        except ValueError:
            raise BadUrl("The URL is invalid") from None
        return parse_url(text)


def parse_url(text: str) -> Url:
    """The parts of an http or https URL whose host is a plain name or address; raises BadUrl."""
    _check_text(text)
    match = _URL.fullmatch(text)
    if match is None:
        raise BadUrl(_complaint(text))
    scheme, host = match["scheme"].lower(), match["host"].lower()
    if host.startswith("["):
        host = host[1:-1]
        if ":" not in host or _address(host) is None:
            raise BadUrl("The URL's host is invalid")
    elif not is_host(host):
        raise BadUrl("The URL's host is invalid")
    port = int(match["port"] or (443 if scheme == "https" else 80))
    if port > 65535:
        raise BadUrl("The URL's port is invalid")
    target = quote(match["target"] or "/", safe=_TARGET_SAFE)
    return Url(scheme, host, port, target if target.startswith("/") else f"/{target}")


def is_host(text: str) -> bool:
    """Whether the text is a plain DNS name or a canonical IPv4 address, in lower case."""
    if _address(text) is not None:
        return ":" not in text
    labels = text.split(".")
    return (
        len(text) <= _NAME_LIMIT_CHARACTERS
        and all(_LABEL.fullmatch(label) for label in labels)
        # Every spelling that a resolver may take for a number ends in one.
        and not _NUMBER.fullmatch(labels[-1])
    )


def _check_text(text: str) -> None:
    if len(text) > LIMIT_CHARACTERS:
        raise BadUrl(f"The URL is longer than {LIMIT_CHARACTERS} characters")
    if _FORBIDDEN.search(text):
        raise BadUrl("The URL is invalid")


def _complaint(text: str) -> str:
    if not text.lower().startswith(("http://", "https://")):
        return "The URL must begin with http:// or https://"
    if _AUTHORITY.match(text):
        return "The URL must not carry a user name or password"
    return "The URL's host or port is invalid"


def _address(text: str) -> Address | None:
    """The address of exactly this spelling, if it is the canonical one of an address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address if str(address) == text and "%" not in text else None
