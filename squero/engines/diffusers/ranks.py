"""Several processes that draw as one, each on a GPU of its own. Imports torch, so late.

The engine's child is rank 0; it starts the others (`follower`), which get every shot through a pipe
and make the same call. They die with the child, and the child with any of them.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from squero.engines import Tell, network
from squero.engines.diffusers.options import Parallel, Unready
from squero.engines.messages import Load, Render, encode
from squero.shot import Shot, Stopped

PATIENCE_SECONDS = 1800
"""How long a rank waits for another that lives: one may read its weights from a slower disk."""
LOOPBACK = {
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
    "NCCL_NET": "Socket",
    "NCCL_IB_DISABLE": "1",
    # Everything is connected when a group is made, not at the first call that wants it: by then
    # there is no network.
    "NCCL_RUNTIME_CONNECT": "0",
}
"""How the libraries connect ranks: within this machine, and at once."""


class Ranks:
    """This process's place among those that draw as one."""

    def __init__(self, parallel: Parallel, rank: int, place: str, mesh: Any) -> None:
        self.parallel = parallel
        self.rank = rank
        self.place = place
        """The device of this rank."""
        self.mesh = mesh
        """All ranks by `cfg`, `ring` and `ulysses`."""
        self._followers: list[subprocess.Popen[bytes]] = []

    @classmethod
    def led(cls, parallel: Parallel, said: Mapping[str, object]) -> "Ranks":
        """Start the others, who load what this entry said, and meet them; raises Unready."""
        require_devices(parallel)
        store = Path(tempfile.mkdtemp(prefix="ranks-")) / "store"
        followers = list(_started(parallel, store, said))
        ranks = cls.met(parallel, 0, store)
        ranks._followers = followers
        return ranks

    @classmethod
    def met(cls, parallel: Parallel, rank: int, store: Path) -> "Ranks":
        """Meet the others at this file; from then on this process has no network."""
        os.environ.update(LOOPBACK)
        on_gpu = torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(rank)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=dist.FileStore(str(store), parallel.ranks),
            rank=rank,
            world_size=parallel.ranks,
            timeout=timedelta(seconds=PATIENCE_SECONDS),
        )
        kind = "cuda" if on_gpu else "cpu"
        mesh = init_device_mesh(kind, parallel.shape, mesh_dim_names=parallel.names)
        # diffusers makes this one too, when it is too late to connect.
        whole = mesh["ring", "ulysses"]._flatten().get_group()
        for group in (dist.group.WORLD, whole, *mesh.get_all_groups()):
            _greet(group, kind)
        network.close()
        return cls(parallel, rank, f"cuda:{rank}" if on_gpu else "cpu", mesh)

    @property
    def branch(self) -> int:
        """Which half of the guidance this rank computes."""
        return int(self.mesh["cfg"].get_local_rank())

    def any(self, is_so: bool) -> bool:
        """Whether it is so for any rank, once all have come to this line."""
        answer = torch.tensor([is_so], dtype=torch.int32)
        dist.all_reduce(answer, op=dist.ReduceOp.MAX)
        return bool(answer.item())

    def send(self, shot: Shot, out: Path) -> None:
        """Have the others draw this too."""
        for follower in self._followers:
            assert follower.stdin is not None
            follower.stdin.write(encode(Render(0, shot, out)))
            follower.stdin.flush()

    def agreed(self, tell: Tell) -> Tell:
        """The same, but that it raises in all ranks when it raises in one."""

        def told(share: float, note: str | None = None) -> None:
            ending: BaseException | None = None
            try:
                tell(share, note)
            except BaseException as raised:
                ending = raised
            ends = self.any(ending is not None)
            if ending is not None:
                raise ending
            if ends:
                raise Stopped("Rank 0 was told to stop")

        return told


def require_devices(parallel: Parallel) -> None:
    """Raises Unready where there are too few GPUs; on a processor ranks are only slower."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else parallel.ranks
    if there < parallel.ranks:
        raise Unready(f"options.parallel: it takes {parallel.ranks} GPUs, and there are {there}")


def _started(
    parallel: Parallel, store: Path, said: Mapping[str, object]
) -> Iterator[subprocess.Popen[bytes]]:
    for rank in range(1, parallel.ranks):
        follower = subprocess.Popen(
            (
                *(sys.executable, "-P", "-m", "squero.engines.diffusers.follower"),
                *(str(os.getpid()), str(rank), str(store)),
            ),
            stdin=subprocess.PIPE,
        )
        threading.Thread(target=_end_with, args=(follower, rank), daemon=True).start()
        assert follower.stdin is not None
        follower.stdin.write(encode(Load("", said)))
        follower.stdin.flush()
        yield follower


def _end_with(follower: "subprocess.Popen[bytes]", rank: int) -> None:
    """Without one of them the others wait for ever: a crash of one is a crash of all."""
    code = follower.wait()
    print(f"rank {rank} ended ({code})", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(1)


def _greet(group: Any, kind: str) -> None:
    """Every kind of message that the libraries will send, so that every way is open."""
    count = dist.get_world_size(group)
    for device in {"cpu", kind}:
        one = torch.ones(count, device=device)
        dist.all_reduce(one, group=group)
        dist.all_gather([torch.empty_like(one) for _ in range(count)], one, group=group)
        dist.all_to_all_single(torch.empty_like(one), one, group=group)
