"""What this machine can load: by honest engines, and by ones that misbehave when they are made."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from squero.engines.check import WORDS, unloadable
from squero.engines.process import environment

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("plugin")]


def entry(id: str, deed: str = "", engine: str = "wilful", **more: Any) -> dict[str, Any]:  # noqa: A002
    options = {"deed": deed} if engine == "wilful" else {}
    return {"id": id, "engine": engine, "options": options, "constraints": None, "needs": {}} | more


async def why(wrong: dict[str, Any]) -> str | None:
    """What is said of this entry, between two that can be loaded."""
    entries = [entry("before"), wrong, entry("after")]
    found = await unloadable(entries, timeout=60)
    assert found.keys() <= {wrong["id"]}
    return found.get(wrong["id"])


class TestUnloadable:
    async def test_what_can_be_loaded_is_not_named(self) -> None:
        assert await why(entry("fine")) is None

    @pytest.mark.parametrize(
        ("deed", "says"),
        [
            ("die", "The engine's process ended (signal 9)"),
            ("leave", "SystemExit: 3"),
            ("refuse", "options.deed: it is refused"),
            ("fail", "KeyError: 'weights'"),
            ("import", "no_such_module is missing: install squero-wilful[wilful]"),
            ("garble", "The engine's process broke the protocol"),
            ("constraints", "It cannot do None"),
            ("long", "x" * WORDS),
            ("crash", "RuntimeError: in missing"),
        ],
    )
    async def test_one_that_misbehaves_hides_no_other(self, deed: str, says: str) -> None:
        assert await why(entry("bad", deed)) == says

    async def test_options_that_there_are_not(self) -> None:
        said = await why(entry("bad", engine="motion", options={"wings": 2}))
        assert said == "Motion.__init__() got an unexpected keyword argument 'wings'"

    async def test_an_engine_that_nobody_declares(self) -> None:
        said = await why(entry("bad", engine="moon"))
        assert said == "No installed package declares an engine 'moon': install one that does"

    async def test_a_package_without_such_an_extra(self) -> None:
        said = await why(entry("bad", engine="wayward", options={"deed": "import"}))
        assert said == "no_such_module is missing: install squero-wilful anew"

    async def test_needs_are_looked_at_before_the_engine_is_asked(self) -> None:
        said = await why(entry("bad", "crash", needs={"gpus": 99, "vram_gb": 1000}))
        assert said == "It needs 99 GPUs of 1000 GB and there are none"

    async def test_a_need_that_this_version_does_not_know(self) -> None:
        said = await why(entry("bad", needs={"tpus": 1}))
        assert said == "tpus: Unexpected keyword argument"

    async def test_constraints_reach_the_engine(self) -> None:
        said = await why(entry("bad", "constraints", constraints={"audio": True}))
        assert said == "It cannot do {'audio': True}"

    async def test_one_that_hangs_is_given_up(self) -> None:
        entries = [entry("a"), entry("b", "hang"), entry("c", "refuse"), entry("d")]
        found = await unloadable(entries, timeout=10)
        assert found == {"b": "Not known after 10 s", "c": "options.deed: it is refused"}

    async def test_keys_of_upstreams_are_for_engines_that_have_some(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("SQUERO_WORKER_TOKEN", "UPSTREAM_FAR_KEY", "HERE"):
            monkeypatch.setenv(name, "x")
        far = {"deed": "environment", "upstreams": ["far"]}
        entries = [entry("near", "environment"), entry("far", options=far)]
        folder = tempfile.gettempdir()
        assert await unloadable(entries, timeout=60) == {
            "near": f"['HERE'] in {folder}",
            "far": f"['UPSTREAM_FAR_KEY', 'HERE'] in {folder}",
        }

    async def test_nothing_to_check(self) -> None:
        assert await unloadable([], timeout=1) == {}


def test_a_line_for_each_entry_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-m", "squero.engines.check"),
        input=json.dumps([entry("a"), entry("b", "refuse")]),
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        check=True,
    )
    assert done.stdout == '["a", null]\n["b", "options.deed: it is refused"]\n'
