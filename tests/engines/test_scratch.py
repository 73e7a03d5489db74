import os
import subprocess
import sys
from pathlib import Path

from squero.engines.scratch import LOCK, PREFIX, default_parent, scratch, sweep

WORKER = """
import sys
from pathlib import Path
from squero.engines.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "picture").write_text("private")
    print(folder, flush=True)
    sys.stdin.read()
"""


def left_by_the_dead(parent: Path, name: str = "x", mode: int = 0o700) -> Path:
    folder = parent / (PREFIX + name)
    folder.mkdir()
    (folder / LOCK).touch()
    (folder / "picture").touch()
    folder.chmod(mode)
    return folder


class TestScratch:
    def test_is_private_and_goes(self, tmp_path: Path) -> None:
        with scratch(tmp_path) as folder:
            assert folder.parent == tmp_path
            assert folder.stat().st_mode & 0o777 == 0o700
            (folder / "picture").touch()
        assert list(tmp_path.iterdir()) == []

    def test_sweeps_at_the_start(self, tmp_path: Path) -> None:
        dead = left_by_the_dead(tmp_path)
        with scratch(tmp_path):
            assert not dead.exists()

    def test_the_default_can_be_written(self) -> None:
        assert os.access(default_parent(), os.W_OK)


class TestSweep:
    def test_spares_the_living(self, tmp_path: Path) -> None:
        with scratch(tmp_path) as folder:
            assert sweep(tmp_path) == 0
            assert folder.is_dir()

    def test_takes_what_a_killed_worker_left(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", WORKER, str(tmp_path)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as worker:
            assert worker.stdout is not None
            folder = Path(worker.stdout.readline().strip())
            assert sweep(tmp_path) == 0
            worker.kill()
        assert (folder / "picture").is_file()
        assert sweep(tmp_path) == 1
        assert not folder.exists()

    def test_spares_a_folder_that_others_may_enter(self, tmp_path: Path) -> None:
        folder = left_by_the_dead(tmp_path, mode=0o755)
        assert sweep(tmp_path) == 0
        assert folder.is_dir()

    def test_follows_no_link(self, tmp_path: Path) -> None:
        precious = left_by_the_dead(tmp_path, "precious").rename(tmp_path / "precious")
        (tmp_path / (PREFIX + "link")).symlink_to(precious)
        locked_by_link = left_by_the_dead(tmp_path, "lock")
        (locked_by_link / LOCK).unlink()
        (locked_by_link / LOCK).symlink_to(precious / LOCK)
        assert sweep(tmp_path) == 0
        assert (precious / "picture").is_file()
        assert locked_by_link.is_dir()
