"""Requests as bytes that no well-behaved client sends, and the statuses that may answer them.

No status at all: the connection is to end without an answer; 0: it may. Nothing in here may reach a
handler twice, or as something else than one request.
"""

from collections.abc import Iterator

H = b"Host: squero\r\n"
JSON = b"Content-Type: application/json\r\n"
QUOTE = b'{"model":"motion-text-to-video","duration":"5s"}'
SECOND = b"GET /api/v1/models HTTP/1.1\r\n" + H + b"\r\n"

Case = tuple[str, bytes, frozenset[int]]


def post(*headers: bytes, body: bytes = QUOTE, line: bytes = b"") -> bytes:
    """A quote call with these header lines in place of the Content-Length."""
    line = line or b"POST /api/v1/video/quote HTTP/1.1"
    return line + b"\r\n" + H + JSON + b"".join(one + b"\r\n" for one in headers) + b"\r\n" + body


def get(*headers: bytes, line: bytes = b"GET /api/v1/models HTTP/1.1") -> bytes:
    """A model list call with these header lines, and a Host."""
    return line + b"\r\n" + H + b"".join(one + b"\r\n" for one in headers) + b"\r\n"


def _length(number: int) -> bytes:
    return b"Content-Length: %d" % number


def corpus() -> Iterator[Case]:
    """Every case: its name, its bytes, and the statuses that are right."""
    for kind in (_lengths, _lines, _names, _sizes, _ends, _bodies):
        for name, data, *statuses in kind():
            yield f"{kind.__name__[1:]}: {name}", data, frozenset(statuses)


def _lengths() -> Iterator[tuple[str, bytes, *tuple[int, ...]]]:
    exact = _length(len(QUOTE))
    chunked = b"Transfer-Encoding: chunked"
    whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(QUOTE), QUOTE)
    yield "two different", post(exact, _length(3)), 400
    yield "two equal", post(exact, exact), 400
    yield "a list", post(exact + b", " + str(len(QUOTE)).encode()), 400
    yield "beside chunked", post(exact, chunked, body=whole), 400
    yield "chunked before it", post(chunked, _length(4), body=whole + SECOND), 400
    yield "negative", post(b"Content-Length: -1"), 400
    yield "with a plus", post(b"Content-Length: +48"), 400
    yield "hexadecimal", post(b"Content-Length: 0x30"), 400
    yield "empty", post(b"Content-Length: "), 400
    yield "letters", post(b"Content-Length: ten"), 400
    yield "beyond 64 bits", post(b"Content-Length: 99999999999999999999999"), 400
    yield "huge", post(_length(2**62)), 413
    yield "absent", post(body=b""), 400
    yield "chunked twice", post(chunked, chunked, body=whole), 400
    yield "chunked in odd letters", post(b"Transfer-Encoding: CHUNKED", body=whole), 200, 400
    yield "xchunked", post(b"Transfer-Encoding: xchunked", body=whole), 400, 501
    yield "identity", post(b"Transfer-Encoding: identity", body=whole), 400, 501
    yield "chunked, identity", post(b"Transfer-Encoding: chunked, identity", body=whole), 400
    yield "gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=whole), 400, 415, 501
    yield "chunk of minus one", post(chunked, body=b"-1\r\n" + QUOTE), 400
    yield "chunk of 17 digits", post(chunked, body=b"fffffffffffffffff\r\n" + QUOTE), 400
    yield "chunk without a size", post(chunked, body=b"\r\n" + QUOTE), 400
    yield "chunk size with a space", post(chunked, body=b"3 0\r\n" + QUOTE), 400
    yield "chunk longer than said", post(chunked, body=b"2\r\n" + QUOTE + b"\r\n0\r\n\r\n"), 400
    # A space before the colon makes it another name for some, and the same for others.
    yield "space before the colon", post(exact, b"Transfer-Encoding : chunked", body=whole), 400
    yield "folded", post(exact, b"Transfer-Encoding:\r\n chunked", body=whole), 400


def _lines() -> Iterator[tuple[str, bytes, *tuple[int, ...]]]:
    yield (
        "nonsense",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
        400,
    )
    yield "binary", bytes(range(256)) + b"\r\n\r\n", 400
    yield "HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400
    yield "HTTP/0.9", b"GET /api/v1/models\r\n\r\n", 400, 505
    yield "HTTP/9.9", get(line=b"GET /api/v1/models HTTP/9.9"), 400, 505
    yield "HTTPS/1.1", get(line=b"GET /api/v1/models HTTPS/1.1"), 400
    yield "a method of its own", get(line=b"FROB /api/v1/models HTTP/1.1"), 400, 405
    yield "a method in small letters", get(line=b"get /api/v1/models HTTP/1.1"), 400, 405
    yield "TRACE", get(line=b"TRACE /api/v1/models HTTP/1.1"), 400, 405
    yield "CONNECT", get(line=b"CONNECT 169.254.169.254:80 HTTP/1.1"), 400, 404, 405
    yield "OPTIONS *", get(line=b"OPTIONS * HTTP/1.1"), 400, 404, 405
    yield "another's absolute form", get(line=b"GET http://169.254.169.254/ HTTP/1.1"), 400, 404
    yield "absolute form", get(line=b"GET http://squero/api/v1/models HTTP/1.1"), 200, 400, 404
    yield "a target without a slash", get(line=b"GET api/v1/models HTTP/1.1"), 400
    yield "two spaces", get(line=b"GET  /api/v1/models HTTP/1.1"), 200, 400
    yield "a space in the target", get(line=b"GET /api/v1/mo dels HTTP/1.1"), 400
    yield "NUL in the target", get(line=b"GET /api/v1/models\0 HTTP/1.1"), 400
    yield "an encoded NUL", get(line=b"GET /api/v1/models%00 HTTP/1.1"), 400, 404
    yield "half an escape", get(line=b"GET /api/v1/%f0%9f%9 HTTP/1.1"), 400, 404
    yield "bytes beyond ASCII", get(line=b"GET /api/v1/\xff\xfe HTTP/1.1"), 400, 404
    yield "dots", get(line=b"GET /api/v1/../../etc/passwd HTTP/1.1"), 400, 404
    yield "encoded dots", get(line=b"GET /api/v1/%2e%2e/%2e%2e/etc/passwd HTTP/1.1"), 400, 404
    yield "a query of escapes", get(line=b"GET /api/v1/models?type=%ff%00 HTTP/1.1"), 400
    yield "an upgrade", get(b"Connection: Upgrade", b"Upgrade: websocket"), 200, 400, 426
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    yield "a body to HTTP/2", post(_length(len(QUOTE)), *offer), 200
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(QUOTE), QUOTE)
    yield "chunks to HTTP/2", post(b"Transfer-Encoding: chunked", *offer, body=chunks + SECOND), 200
    yield "to HTTP/2", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"), 200, 400


def _names() -> Iterator[tuple[str, bytes, *tuple[int, ...]]]:
    yield "two hosts", get(b"Host: other"), 400
    yield "no host", get().replace(H, b""), 400
    yield "two keys", get(b"Authorization: Bearer a", b"Authorization: Bearer b"), 400
    yield "two types", post(_length(len(QUOTE)), b"Content-Type: text/plain"), 400
    codings = (b"Content-Encoding: identity", b"Content-Encoding: gzip")
    yield "two codings", post(_length(len(QUOTE)), *codings), 400
    yield "NUL in a value", get(b"X-A: a\0b"), 400
    yield "NUL in a name", get(b"X\0A: b"), 400
    yield "a bare CR", get(b"X-A: a\rX-B: b"), 400
    yield "bare LF", get().replace(b"\r\n", b"\n"), 200, 400
    yield "a bare LF that hides a length", post(b"X-A: b\nContent-Length: 4"), 400
    yield "no colon", get(b"nonsense"), 400
    yield "no name", get(b": value"), 400
    yield "a space in a name", get(b"X A: b"), 400
    yield "a name beyond ASCII", get(b"X-\xc3\xa9: b"), 400
    yield "a folded line first", get(line=b"GET /api/v1/models HTTP/1.1\r\n X-A: b"), 400
    yield "a key that is not text", get(b"Authorization: Bearer \xff\xfe"), 200, 400
    yield "an odd range", get(b"Range: bytes=99999999999999999999-"), 200


def _sizes() -> Iterator[tuple[str, bytes, *tuple[int, ...]]]:
    yield "a header of 1 MB", get(b"X-A: " + b"a" * 1_000_000), 431
    yield "a name of 100 kB", get(b"X" * 100_000 + b": a"), 431
    yield "10,000 headers", get(*(b"X-%d: a" % number for number in range(10_000))), 431
    yield "a target of 100 kB", get(line=b"GET /" + b"a" * 100_000 + b" HTTP/1.1"), 414, 431
    yield "a target of 9 kB", get(line=b"GET /" + b"a" * 9_000 + b" HTTP/1.1"), 414
    trailers = b"0\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(10_000)) + b"\r\n"
    yield "10,000 trailers", post(b"Transfer-Encoding: chunked", body=trailers), 400, 431
    extension = b"1;" + b"a" * 200_000 + b"\r\n{\r\n"
    yield (
        "an endless chunk extension",
        post(b"Transfer-Encoding: chunked", body=extension),
        400,
        431,
    )
    ones = b"".join(b"1\r\n%c\r\n" % byte for byte in QUOTE) + b"0\r\n\r\n"
    yield "chunks of one byte", post(b"Transfer-Encoding: chunked", body=ones), 200


def _ends() -> Iterator[tuple[str, bytes, *tuple[int, ...]]]:
    yield "nothing", b""
    yield "in the request line", b"GET /api"
    yield "in a header", b"GET / HTTP/1.1\r\nHost: s"
    yield "in the body", post(_length(1000))
    yield "in a chunk", post(b"Transfer-Encoding: chunked", body=b"30\r\n{")
    yield "only line ends", b"\r\n" * 1000
    yield "10,000 line ends, then a call", b"\r\n" * 10_000 + SECOND, 200, 400, 431


def _bodies() -> Iterator[tuple[str, bytes, *tuple[int, ...]]]:
    def sent(body: bytes, *headers: bytes) -> bytes:
        return post(_length(len(body)), *headers, body=body)

    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield "depth", sent(deep), 400
    yield "arrays", sent(b"[" * 200_000 + b"]" * 200_000), 400
    yield "NaN", sent(b'{"model":NaN}'), 400
    yield "infinity", sent(b'{"model":-Infinity}'), 400
    yield "a number of 100 kB", sent(b'{"model":' + b"9" * 100_000 + b"}"), 400
    yield "1e999999", sent(b'{"model":1e999999}'), 400
    yield "a lone surrogate", sent(b'{"model":"\\ud800","duration":"5s"}'), 400
    yield "NUL", sent(b'{"model":"a\\u0000","duration":"5s"}'), 400
    yield "a duplicate key", sent(b'{"model":"a","model":"b","duration":"5s"}'), 400
    yield "not UTF-8", sent(b'{"model":"\xff\xfe","duration":"5s"}'), 400
    yield "UTF-16", sent(QUOTE.decode().encode("utf-16")), 400
    yield "a byte order mark", sent(b"\xef\xbb\xbf" + QUOTE), 400
    yield "empty", sent(b""), 400
    yield "an array", sent(b"[]"), 400
    yield (
        "200,000 keys",
        sent(b"{" + b",".join(b'"%d":1' % n for n in range(200_000)) + b"}"),
        413,
    )
    yield "gzip", sent(QUOTE, b"Content-Encoding: gzip"), 400, 415
    yield "a form", sent(b"a=b").replace(b"application/json", b"multipart/form-data"), 415
    yield "data URL of nothing", sent(b'{"model":"data:,","duration":"5s"}'), 400, 404
    yield "a call behind it", sent(QUOTE) + b"GARBAGE\r\n\r\n", 200, 0
