import base64
import gc
import itertools
import json
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squero.api import scanner as module
from squero.api.scanner import DEPTH_LIMIT, STRUCTURE_LIMIT, Scanner, is_plain
from squero.errors import InvalidJson, InvalidRequest, PayloadTooLarge
from squero.media.spool import Spool

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def data_url(data: bytes, head: str = "data:image/png;base64,") -> str:
    return head + base64.b64encode(data).decode()


def pieces(document: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(document) + 1) for cut in cuts), len(document)]
    return [document[start:end] for start, end in itertools.pairwise(edges)]


def scan(chunks: Iterable[bytes], folder: Path, *, settle_each: bool = False) -> Any:
    """The parsed document, with `(media type, bytes)` or None in the place of each payload."""
    scanner = Scanner()
    spool = Spool(folder)
    try:
        for chunk in chunks:
            scanner.feed(chunk)
            if settle_each:
                scanner.settle(spool)
        scanner.finish()
        scanner.settle(spool)
        return resolve(json.loads(scanner.json.decode()), scanner)
    finally:
        scanner.discard()


def resolve(value: Any, scanner: Scanner) -> Any:
    if isinstance(value, dict):
        return {key: resolve(inner, scanner) for key, inner in value.items()}
    if isinstance(value, list):
        return [resolve(inner, scanner) for inner in value]
    if isinstance(value, str) and value in scanner.payloads:
        url = scanner.payloads[value].url()
        return None if url is None else (url.media_type, url.spooled.reader().read())
    return value


def expected(value: Any) -> Any:
    """What `scan` is to give for a parsed document, found the plain way."""
    if isinstance(value, dict):
        return {key: expected(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [expected(inner) for inner in value]
    if isinstance(value, str) and value[:5].lower() == "data:" and ";base64," in value:
        head, _, text = value.partition(";base64,")
        return head[5:].partition(";")[0].lower(), base64.b64decode(text)
    return value


def is_json(document: bytes) -> bool:
    try:
        json.loads(document.decode())
    except ValueError:
        return False
    return True


texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(["data:", 'data:"', "data:,", "data:image/svg+xml,<svg", "\\", '\\"', "dat"]),
)
urls = st.builds(
    data_url,
    st.binary(max_size=40),
    st.sampled_from(["data:image/png;base64,", "DATA:;base64,", "data:a/b;charset=x;base64,"]),
)
documents = st.dictionaries(
    texts | urls,
    st.recursive(
        texts | urls | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@st.composite
def spelled(draw: st.DrawFn) -> bytes:
    """A document's bytes, with some characters of its strings escaped that need not be."""
    text = json.dumps(
        draw(documents),
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])),
    )
    for plain in draw(st.sets(st.sampled_from("data:/=+;"))):
        spelling = "\\/" if plain == "/" and draw(st.booleans()) else f"\\u{ord(plain):04x}"
        text = "".join(escaped(text, plain, spelling))
    return text.encode()


def escaped(text: str, plain: str, spelling: str) -> Iterable[str]:
    inside, index = False, 0
    while index < len(text):
        character = text[index]
        if character == "\\":
            length = 6 if text[index + 1] == "u" else 2
            yield text[index : index + length]
            index += length
            continue
        inside ^= character == '"'
        yield spelling if inside and character == plain else character
        index += 1


class TestAnyDocument:
    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        document=spelled(),
        cuts=st.lists(st.integers(0, 10_000), max_size=8),
        settle_each=st.booleans(),
    )
    def test_reads_as_json_does(
        self, tmp_path: Path, document: bytes, cuts: list[int], settle_each: bool
    ) -> None:
        read = scan(pieces(document, cuts), tmp_path, settle_each=settle_each)
        assert read == expected(json.loads(document))

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(document=spelled())
    def test_byte_by_byte(self, tmp_path: Path, document: bytes) -> None:
        assert scan((bytes([byte]) for byte in document), tmp_path) == expected(
            json.loads(document)
        )

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        document=st.binary(max_size=60) | st.text('[]{}",:\\ data;base64,=u0041/').map(str.encode)
    )
    def test_garbage_is_refused_or_is_json(self, tmp_path: Path, document: bytes) -> None:
        try:
            read = scan([document], tmp_path)
        except (ValueError, InvalidJson):
            assert not is_json(document)
        else:
            assert is_json(document)
            assert b"base64" in document or read == json.loads(document)


class TestPlace:
    def test_key_stays_a_key(self, tmp_path: Path) -> None:
        document = {data_url(PNG): 1, "a": {data_url(b"x"): [data_url(b"y")]}}
        read = scan([json.dumps(document).encode()], tmp_path)
        assert read == {data_url(PNG): 1, "a": {data_url(b"x"): [("image/png", b"y")]}}

    def test_first_string_of_the_document_is_no_payload(self, tmp_path: Path) -> None:
        assert scan([json.dumps(data_url(PNG)).encode()], tmp_path) == data_url(PNG)

    def test_forged_token_stays_text(self, tmp_path: Path) -> None:
        scanner = Scanner()
        scanner.feed(b'{"a":"data:;base64,QQ==",')
        (token,) = scanner.payloads
        other = Scanner()
        assert token[:32] not in str(other.__dict__)
        forged = {"a": token, "b": "0" * 32 + "0", "c": "data:;base64," + "QQ=="}
        read = scan([json.dumps(forged).encode()], tmp_path)
        assert read == {"a": token, "b": "0" * 33, "c": ("", b"A")}
        scanner.discard()

    def test_text_data_url_stays_text(self, tmp_path: Path) -> None:
        document = {"a": "data:image/svg+xml,<svg a='b'>;base64,QQ=="}
        assert scan([json.dumps(document).encode()], tmp_path) == document


class TestBase64:
    @pytest.mark.parametrize(
        "text",
        ["Q", "QQ", "QQ=", "QQ==QQ==", "=QQ=", "QQ==\\n", "QQ\\u0000=", "Q-_=", "QQ==é", "QQ= ="],
    )
    @pytest.mark.parametrize("settle_each", [False, True])
    def test_bad(self, tmp_path: Path, text: str, settle_each: bool) -> None:
        document = f'{{"a": "data:;base64,{text}", "b": "data:;base64,QQ=="}}'.encode()
        chunks = [document[index : index + 7] for index in range(0, len(document), 7)]
        read = scan(chunks, tmp_path, settle_each=settle_each)
        assert read == {"a": None, "b": ("", b"A")}

    def test_nothing_follows_padding_in_a_later_piece(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "PIECE_BYTES", 4)
        assert scan([b'{"a": "data:;base64,QQ==QUFB"}'], tmp_path) == {"a": None}
        assert scan([b'{"a": "data:;base64,QUFBQQ=="}'], tmp_path) == {"a": ("", b"AAAA")}

    def test_escaped_as_php_and_dotnet_do(self, tmp_path: Path) -> None:
        text = json.dumps({"a": data_url(bytes(range(256)) * 40)})
        plain = scan([text.encode()], tmp_path)
        php = text.replace("/", "\\/")
        dotnet = text.replace("+", "\\u002B")
        for spelling in (php, dotnet):
            assert spelling != text
            cut = (spelling[at : at + 5].encode() for at in range(0, len(spelling), 5))
            assert scan(cut, tmp_path) == plain

    def test_without_data(self, tmp_path: Path) -> None:
        assert scan([b'{"a": "data:image/png;base64,"}'], tmp_path) == {"a": ("image/png", b"")}


class TestLimits:
    def test_json_beside_the_media(self, tmp_path: Path) -> None:
        fits = {"a": "x" * (module.JSON_LIMIT_BYTES - 100), "b": data_url(bytes(500_000))}
        assert scan([json.dumps(fits).encode()], tmp_path)["b"][1] == bytes(500_000)
        with pytest.raises(PayloadTooLarge):
            scan([json.dumps({"a": "x" * module.JSON_LIMIT_BYTES}).encode()], tmp_path)

    def test_structure(self, tmp_path: Path) -> None:
        with pytest.raises(PayloadTooLarge):
            scan([b"[" + b"0," * module.STRUCTURE_LIMIT + b"0]"], tmp_path)

    def test_data_urls(self, tmp_path: Path) -> None:
        urls = [data_url(b"x")] * module.DATA_URL_LIMIT
        assert len(scan([json.dumps(urls).encode()], tmp_path)) == module.DATA_URL_LIMIT
        with pytest.raises(InvalidRequest):
            scan([json.dumps([*urls, urls[0]]).encode()], tmp_path)

    def test_depth(self, tmp_path: Path) -> None:
        depth = module.DEPTH_LIMIT
        assert scan([b"[" * depth + b"]" * depth], tmp_path)
        with pytest.raises(InvalidJson):
            scan([b"[" * (depth + 1)], tmp_path)

    @pytest.mark.parametrize(
        "document", [b"[}", b"]", b'["data:x""data:y"', b'{"a": "' + b"x" * 300 + b"\\uZZZZ  "]
    )
    def test_refused_while_it_arrives(self, document: bytes) -> None:
        with pytest.raises(InvalidJson):
            Scanner().feed(document)

    def test_end_within_a_data_url(self) -> None:
        scanner = Scanner()
        scanner.feed(b'{"a": "data:;base64,QQ')
        with pytest.raises(InvalidJson):
            scanner.finish()

    def test_open_string_keeps_little(self) -> None:
        scanner = Scanner()
        scanner.feed(b'{"a": "' + b"\\u00" * 1)
        with pytest.raises((InvalidJson, PayloadTooLarge)):
            for _ in range(10_000):
                scanner.feed(b"x" * 1000)


class TestIsPlain:
    @pytest.mark.parametrize(
        "document",
        [
            b'{"model": "m", "audio": true, "prompt": "metadata: see data:image"}',
            b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT,
            b" " * STRUCTURE_LIMIT,
            b"",
        ],
    )
    def test_what_the_scanner_would_leave_as_it_is(self, document: bytes) -> None:
        assert is_plain(document)
        scanner = Scanner()
        scanner.feed(document)
        scanner.finish()
        assert (bytes(scanner.json), scanner.payloads) == (document, {})

    @pytest.mark.parametrize(
        "document",
        [
            b'{"a": "data:image/png;base64,QQ=="}',
            b'{"a": "DaTa:,"}',
            b'{"a": "\\u0064ata:image/png;base64,QQ=="}',
            b'{"a": "d\\u0041ta\\u003aimage/png;base64,QQ=="}',
            b"[" * (DEPTH_LIMIT + 1),
            b'{"a":' * (DEPTH_LIMIT + 1),
            b" " * (STRUCTURE_LIMIT + 1),
        ],
    )
    def test_what_must_be_scanned(self, document: bytes) -> None:
        assert not is_plain(document)


@pytest.mark.parametrize("end", [b'QQ=="}', b"QQ"])
def test_is_gone_with_the_last_who_holds_it(end: bytes, tmp_path: Path) -> None:
    """And the media in it: not some time later, with whatever else is collected."""
    scanner = Scanner()
    scanner.feed(b'{"a": "data:image/png;base64,' + end)
    scanner.settle(Spool(tmp_path))
    gone = [weakref.ref(held) for held in (scanner, *scanner.payloads.values())]
    gc.disable()
    try:
        scanner.discard()
        del scanner
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()
