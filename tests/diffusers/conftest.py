"""Pictures and videos to start from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from squero.engines.motion import Motion
from squero.shot import Shot


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (45, 80, 3), np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    shot = Shot("a lagoon", width=80, height=46, frames=10, fps=10, seed=1)
    Motion(instant=True).render(shot, path, lambda share, note=None: None)
    return path
