"""LiteLLM's proxy, where it is installed: what our calls of the same kind are held against.

It checks its master key, has no database, and passes everything on to a stub on the load's core.
"""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from benchmarks.load import request
from benchmarks.server import Server, empty, free_port, listening
from benchmarks.stage import cores

PROGRAM = Path(__file__).parents[1] / ".venv-litellm" / "bin" / "litellm"

_KEY = "sk-benchmark"
_VIDEO = {"model": "sora-2", "prompt": "gondolas in the fog, slow zoom", "seconds": "4"}
# Nothing that it would look up elsewhere, and no line of log for a call.
_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_TELEMETRY_DISABLED": "True",
    "DISABLE_LATEST_RELEASE_CHECK": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "NO_PROXY": "127.0.0.1",
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """LiteLLM at work, and the two calls that are asked of it."""

    server: Server
    create: bytes
    read: bytes


@asynccontextmanager
async def litellm(folder: Path) -> AsyncIterator[Proxy | None]:
    """Its proxy, one process on the server's core; None when it is not installed."""
    if not PROGRAM.exists():
        yield None
        return
    home = folder / "litellm"
    home.mkdir()
    async with empty(core=cores()[1]) as stub:
        conf, port = home / "config.json", free_port()
        conf.write_text(json.dumps(_config(stub)))
        command = [str(PROGRAM), f"--config={conf}", "--num_workers=1"]
        command += ["--host=127.0.0.1", f"--port={port}"]
        with (home / "log").open("wb") as log:
            options = {"cwd": home, "env": _environment(home), "stdout": log, "stderr": log}
            async with listening(command, port, **options) as server:
                yield await _proxy(server)


def _config(stub: Server) -> Mapping[str, object]:
    """What its `config.yaml` would say."""
    upstream = {
        "model": f"openai/{_VIDEO['model']}",
        "api_base": f"http://127.0.0.1:{stub.port}/v1",
        "api_key": "none",
    }
    return {
        "model_list": [{"model_name": _VIDEO["model"], "litellm_params": upstream}],
        "general_settings": {"master_key": _KEY},
    }


def _environment(home: Path) -> Mapping[str, str]:
    """None of the operator's own: it would take keys and addresses from there."""
    return _SETTINGS | {"PATH": os.environ["PATH"], "HOME": str(home)}


async def _proxy(server: Server) -> Proxy:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.post(
            f"http://127.0.0.1:{server.port}/v1/videos",
            json=_VIDEO,
            headers={"authorization": f"Bearer {_KEY}"},
        )
    path = f"/v1/videos/{quote(answer.raise_for_status().json()['id'], safe='')}"
    return Proxy(
        server,
        create=request("/v1/videos", _VIDEO, key=_KEY),
        read=request(path, key=_KEY, method="GET"),
    )
