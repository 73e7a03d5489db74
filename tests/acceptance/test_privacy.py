"""What another user of the machine can see of a running Squero: the API's port and nothing else."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from .conftest import ROOT, Customer, Server, Start, command_line, family, until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="needs root to become another user"
    ),
]

STRANGER = 12345
PROMPT = "zanipolo under acqua alta"
NEGATIVE = "no vaporetti whatsoever"

PROBE = """
import json, os, socket, sys
asked = json.load(sys.stdin)
found = []
for path in asked["paths"]:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        found.append(path)
    except OSError:
        pass
    if os.access(path, os.W_OK, effective_ids=True):
        found.append("writable " + path)
for name in asked["sockets"]:
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect("\\0" + name[1:] if name.startswith("@") else name)
        found.append("socket " + name)
    except OSError:
        pass
print(json.dumps({"uid": os.geteuid(), "found": found}))
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose parents anybody may enter, so that its own modes are what protects it."""
    parent = Path(tempfile.mkdtemp(prefix="squero-test-", dir="/var/tmp"))
    parent.chmod(0o755)
    yield parent / "home"
    shutil.rmtree(parent)


def rendering(start: Start, home: Path) -> tuple[Server, Customer]:
    """A server with a job of the secret words in the middle of its render."""
    server = start(Server, home).await_ready()
    customer = Customer(server)
    picture = base64.b64encode((ROOT / "examples" / "lagoon.jpg").read_bytes()).decode()
    customer.queue(
        PROMPT,
        negative_prompt=NEGATIVE,
        model="motion-image-to-video",
        resolution="1080p",
        image_url=f"data:image/jpeg;base64,{picture}",
    )
    until("it renders", lambda: server.said("rendering"))
    server.child("squero.engines.child")
    return server, customer


def processes(server: Server) -> list[int]:
    postmaster = int((server.home / "postgres" / "postmaster.pid").read_text().split()[0])
    return [*family(server.pid), *family(postmaster)]


def links(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.append(str(entry.readlink()))
        except OSError:
            continue
    return found


def scratch_folders(pids: list[int]) -> list[Path]:
    locks = [Path(link) for pid in pids for link in links(pid) if link.endswith("/.alive")]
    return [lock.parent for lock in locks]


def own_sockets(pids: list[int], table: str) -> Iterator[list[str]]:
    """The rows of a table of /proc/net that are sockets of these processes."""
    inodes = {link[8:-1] for pid in pids for link in links(pid) if link.startswith("socket:")}
    column = 6 if table == "unix" else 9
    for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
        words = row.split()
        if words[column] in inodes:
            yield words


def ask_stranger(paths: list[str], sockets: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-I", "-c", PROBE],
        input=json.dumps({"paths": paths, "sockets": sockets}),
        capture_output=True,
        text=True,
        user=STRANGER,
        group=STRANGER,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.defpath},
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_another_user_opens_nothing(home: Path, start: Start) -> None:
    server, _ = rendering(start, home)
    pids = processes(server)
    folders = [home, *scratch_folders(pids)]
    assert len(folders) == 2
    paths = [str(path) for folder in folders for path in [folder, *folder.rglob("*")]]
    assert any(path.endswith("/secret") for path in paths)
    paths += [
        f"/proc/{pid}/{name}" for pid in pids for name in ("environ", "fd", "mem", "maps", "cwd/")
    ]
    sockets = [row[7] for row in own_sockets(pids, "unix") if len(row) > 7]
    assert any("PGSQL" in name for name in sockets)
    answer = ask_stranger(paths, sockets)
    assert answer == {"uid": STRANGER, "found": []}
    # The probe sees what there is to see.
    assert ask_stranger(["/etc/passwd"], [])["found"] == ["/etc/passwd"]

    port = urlsplit(server.url).port
    listening = [
        (words[1], table)
        for table in ("tcp", "tcp6")
        for words in own_sockets(pids, table)
        if words[3] == "0A"
    ]
    assert listening == [(f"0100007F:{port:04X}", "tcp")]
    assert not [row for table in ("udp", "udp6") for row in own_sockets(pids, table)]


def test_secrets_are_not_told(home: Path, start: Start) -> None:
    """Neither in a command line, nor in a log, nor in the clear on the disk."""
    server, customer = rendering(start, home)
    worker = server.child("squero worker")
    environ = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
    told = dict(entry.partition(b"=")[::2] for entry in environ if entry)
    token = told[b"SQUERO_WORKER_TOKEN"].decode()
    secrets = [PROMPT, NEGATIVE, customer.key, token]

    lines = "\n".join(command_line(pid) for pid in processes(server))
    assert not [secret for secret in secrets if secret in lines]

    # What goes wrong is logged too.
    wrong = customer.post("queue", model="motion-text-to-video", prompt=PROMPT, duration=PROMPT)
    assert wrong.status_code == 400
    assert customer.post("retrieve", model=PROMPT, queue_id=PROMPT).status_code == 400
    os.kill(server.child("squero.engines.child"), 9)
    until("it is noticed", lambda: server.said("failed"))

    logs = server.log.read_text() + (home / "postgres.log").read_text()
    assert not [secret for secret in secrets if secret in logs]
    assert not [name for name in told if name.startswith(b"SQUERO_") and b"WORKER" not in name]
    files = [path for path in home.rglob("*") if path.is_file()]
    found = [
        (secret, path)
        for path in files
        for data in [path.read_bytes()]
        for secret in secrets
        if secret.encode() in data
    ]
    assert found == []
