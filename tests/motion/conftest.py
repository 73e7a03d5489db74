"""A picture with something to hold on to everywhere, in the shapes that people have."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

SHAPES = {"": (960, 540), "portrait": (600, 900), "panorama": (1600, 450)}

Texture = Callable[[str], Path]


@pytest.fixture(scope="session")
def texture(tmp_path_factory: pytest.TempPathFactory) -> Texture:
    """The picture of a shape, as a file."""
    folder = tmp_path_factory.mktemp("textures")
    chance = np.random.default_rng(3)
    for shape, (width, height) in SHAPES.items():
        sheet = np.zeros((height, width))
        for blur in (3, 6, 12, 24):
            layer = cv2.GaussianBlur(chance.standard_normal((height, width)), (0, 0), blur)
            sheet += layer / layer.std()
        grey = np.clip(128 + 30 * sheet, 0, 255).astype(np.uint8)
        Image.fromarray(grey).convert("RGB").save(folder / f"{shape or 'frame'}.png")
    return lambda shape: folder / f"{shape or 'frame'}.png"
