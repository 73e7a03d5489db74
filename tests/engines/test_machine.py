"""What a machine has, told by a driver's program that the tests write."""

import os
from pathlib import Path

import pytest

from squero.engines import machine
from squero.engines.machine import GB, Gpu, Machine, look
from squero.needs import Needs

GPUS = """0, GPU-11aa, 24564
1, GPU-11bb, 81559
2, GPU-22cc, [N/A]"""
SLICES = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11aa)
  MIG 1g.10gb     Device  0: (UUID: MIG-ab-1)
  MIG 3g.40gb+me  Device  1: (UUID: MIG-cd-2)"""


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No program of a driver, no choice of GPUs, and no control group."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine.memory, "OWN_GROUP", tmp_path / "none")
    (tmp_path / "bin").mkdir()


@pytest.fixture
def driver(tmp_path: Path) -> None:
    """A machine with three GPUs, of which the last shares the main memory."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = -L ]; then echo "{SLICES}"; else echo "{GPUS}"; fi\n'
    )
    program.chmod(0o755)


class TestLook:
    def test_without_a_driver(self) -> None:
        found = look()
        assert found.gpus == ()
        assert found.ram_bytes > GB // 10

    def test_every_gpu(self, driver: None) -> None:
        found = look()
        assert found.gpus == (
            Gpu(0, "GPU-11aa", 24564 << 20),
            Gpu(1, "GPU-11bb", 81559 << 20),
            Gpu(2, "GPU-22cc", found.ram_bytes),
        )

    @pytest.mark.parametrize(
        ("named", "uuids"),
        [
            ("1", ["GPU-11bb"]),
            ("2, 0", ["GPU-22cc", "GPU-11aa"]),
            ("GPU-22", ["GPU-22cc"]),
            ("", []),
            ("-1", []),
            ("NoDevFiles", []),
            ("0,7,1", ["GPU-11aa"]),
            ("GPU-11,2", []),
            ("MIG-cd-2", ["MIG-cd-2"]),
        ],
    )
    def test_those_that_cuda_sees(
        self, driver: None, monkeypatch: pytest.MonkeyPatch, named: str, uuids: list[str]
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert [gpu.uuid for gpu in look().gpus] == uuids

    def test_a_slice_has_its_own_memory(
        self, driver: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-cd-2,MIG-ab-1")
        assert [gpu.vram_bytes // GB for gpu in look().gpus] == [40, 10]

    @pytest.mark.parametrize("script", ["exit 9", "exec sleep 60", "echo No devices were found"])
    def test_a_driver_that_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
    ) -> None:
        monkeypatch.setattr(machine, "SMI_SECONDS", 0.5)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        program = tmp_path / "bin" / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        assert look().gpus == ()

    @pytest.mark.parametrize(
        ("own", "limits", "least"),
        [
            ("0::/a/b\n", {"a/b": "max", "a": "50000000"}, 50_000_000),
            ("0::/a/b\n", {"a/b": "40000000", "a": "50000000"}, 40_000_000),
            ("0::/\n", {"": "60000000"}, 60_000_000),
            ("4:memory:/a\n0::/\n", {"a": "70000000"}, None),
        ],
        ids=["above", "own", "container", "version 1"],
    )
    def test_what_a_control_group_leaves(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        own: str,
        limits: dict[str, str],
        least: int | None,
    ) -> None:
        all_of_it = look().ram_bytes
        (tmp_path / "own").write_text(own)
        for name, most in limits.items():
            folder = tmp_path / "groups" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "memory.max").write_text(f"{most}\n")
        monkeypatch.setattr(machine.memory, "OWN_GROUP", tmp_path / "own")
        monkeypatch.setattr(machine.memory, "GROUPS", tmp_path / "groups")
        assert look().ram_bytes == (least or all_of_it)


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        (Needs(), None),
        (Needs(gpus=2, vram_gb=24, ram_gb=64), None),
        (Needs(gpus=2, vram_gb=48), "It needs 2 GPUs of 48 GB and there is 1"),
        (Needs(vram_gb=141), "It needs a GPU of 141 GB and there are none"),
        (Needs(gpus=4), "It needs 4 GPUs and there are 2"),
        (Needs(ram_gb=65), "It needs 65 GB of RAM and there are 64.0"),
    ],
    ids=str,
)
def test_lacks(needs: Needs, says: str | None) -> None:
    gpus = (Gpu(0, "GPU-a", 24564 << 20), Gpu(1, "GPU-b", 81559 << 20))
    assert Machine(gpus, 64 * GB).lacks(needs) == says


def test_words() -> None:
    gpus = (Gpu(0, "GPU-a", 24 * GB), Gpu(1, "GPU-b", 48 * GB))
    assert Machine(gpus, 64 * GB).words == "GPUs of 24.0 GB, 48.0 GB; 64.0 GB of RAM"
    assert Machine((), 8 * GB).words == "no GPU that CUDA sees; 8.0 GB of RAM"


def test_memory_of_a_process(tmp_path: Path) -> None:
    assert GB // 100 < machine.peak_bytes(os.getpid()) < 100 * GB
    assert machine.peak_bytes(0) == 0
    program = tmp_path / "bin" / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '12, 400\\n7, 9\\n12, 100\\n13, [N/A]\\n'\n")
    program.chmod(0o755)
    assert [machine.vram_bytes(pid) for pid in (12, 13, 14)] == [500 << 20, 0, 0]
