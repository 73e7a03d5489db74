from pathlib import Path

import pytest

from squero.engines.messages import (
    REPORT_BYTES,
    WORDS,
    Command,
    Done,
    Failed,
    Garbled,
    Load,
    Loaded,
    Price,
    Priced,
    Progress,
    Render,
    Report,
    Settle,
    Settled,
    Stop,
    decode_command,
    decode_report,
    encode,
)
from squero.shot import NOTE_BYTES, Shot, is_note

SHOT = Shot(
    "a\nb",
    *(2, 4, 6, 8, 10),
    "no",
    audio=True,
    media={"image": Path("/x/y")},
    types={"image": "image/png"},
    resolution="480p",
    key="k",
    note="n",
)


@pytest.mark.parametrize(
    "command",
    [
        Load("a:B", {"steps": 3, "dtype": "half"}),
        Load("a:B", {}, prices_alone=True),
        Render(3, SHOT, Path("/o")),
        Stop(3),
        Settle(3, "n"),
        Price(3, SHOT),
    ],
)
def test_commands_survive_the_way(command: Command) -> None:
    assert decode_command(encode(command)) == command


@pytest.mark.parametrize(
    "report",
    [
        Loaded(),
        Progress(1, 0.25),
        Progress(1, 0.25, "né"),
        Done(1, 2.5, 3),
        Failed(1, "bad_input", "no"),
        Failed(1, "upstream", "no"),
        Settled(1),
        Priced(1, 50_000),
        Priced(1, 0),
        Priced(1, None),
    ],
)
def test_reports_survive_the_way(report: Report) -> None:
    assert decode_report(encode(report)) == report


def test_the_longest_prompts_fit() -> None:
    prompt = "\U0001f6f6" * 20_000
    line = encode(Render(1, Shot(prompt, 2, 2, 1, 1, 1, prompt), Path("/o")))
    assert line.count(b"\n") == 1


def test_the_longest_words_fit() -> None:
    assert len(encode(Failed(1, "bad_input", "\U0001f6f6" * WORDS))) <= REPORT_BYTES


@pytest.mark.parametrize("letter", ["x", '"', "\\", "é", "€", "\U0001f6f6"])
def test_the_longest_notes_fit(letter: str) -> None:
    note = letter * (NOTE_BYTES // len(letter.encode()))
    assert is_note(note)
    assert not is_note(note + letter)
    report = Progress(1, 0.5, note)
    assert decode_report(encode(report)) == report


@pytest.mark.parametrize("note", ["a\nb", "\x00", "\x7f", "\ud800"])
def test_what_cannot_be_printed_is_no_note(note: str) -> None:
    assert not is_note(note)


def test_too_long_a_report_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode(Failed(1, "crash", "x" * REPORT_BYTES))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"1",
        b'{"message": "boast"}',
        b'{"message": ["done"]}',
        b'{"message": "progress", "number": 1, "share": 0.5, "more": 1}',
        b'{"message": "progress", "number": "1", "share": 0.5}',
        b'{"message": "progress", "number": 1, "share": -0.1}',
        b'{"message": "progress", "number": 1, "share": 0.5, "note": 3}',
        b'{"message": "progress", "number": 1, "share": 0.5, "note": "a\\nb"}',
        b'{"message": "progress", "number": 1, "share": 0.5, "note": "%s"}' % (b"x" * 1025),
        b'{"message": "settled", "number": "1"}',
        b'{"message": "priced", "number": 1}',
        b'{"message": "priced", "number": 1, "price_micros": -1}',
        b'{"message": "priced", "number": 1, "price_micros": 0.5}',
        b'{"message": "priced", "number": 1, "price_micros": true}',
        b'{"message": "priced", "number": 1, "price_micros": 1000000000000001}',
        b'{"message": "done", "number": 1, "seconds": Infinity, "peak_bytes": 1}',
        b'{"message": "failed", "number": 1, "kind": "boredom", "words": ""}',
        b'{"message": "failed", "number": 1, "kind": "crash", "words": "%s"}' % (b"x" * 201),
    ],
    ids=lambda line: line[:40].decode(errors="replace"),
)
def test_anything_else_is_garbled(line: bytes) -> None:
    with pytest.raises(Garbled):
        decode_report(line)
    with pytest.raises(Garbled):
        decode_command(line)
