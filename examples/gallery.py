"""Draws docs/gallery.jpg: first, middle and last frame of what the engine makes of 24 prompts."""

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from squero.engines.motion.planes import Planes
from squero.engines.motion.scene import Scene
from squero.shot import Shot

PROMPTS = (
    ("A city skyline at night in the rain", 3),
    ("Snow falling over a mountain lake at dawn", 4),
    ("Desert dunes under a huge sun, the camera pans right", 5),
    ("Lightning over the sea at night, slow push in", 6),
    ("A misty pine forest in the morning, pan left", 7),
    ("Northern lights over a frozen arctic lake", 8),
    ("A neon city street at night in the rain, dolly in", 9),
    ("Autumn forest, leaves drifting in the wind, pan left", 10),
    ("A green meadow with wildflowers on a sunny day, crane up", 11),
    ("Waves on the ocean at sunset, the camera pans right", 12),
    ("Full moon over the mountains, starry night", 13),
    ("A galaxy and a ringed planet in deep space, push in", 14),
    ("Rolling hills of Tuscany at golden hour, pan right", 15),
    ("A thunderstorm over the wheat fields", 16),
    ("Cyberpunk skyline at dusk with neon signs, pull back", 17),
    ("A campfire under the stars in the woods", 18),
    ("A blizzard in the mountains, handheld", 19),
    ("A calm turquoise lagoon at noon, drift", 20),
    ("The Manhattan waterfront on a clear day, pan left", 21),
    ("Cherry blossom falling in spring, pan right", 22),
    ("Fireflies over a pond at dusk", 23),
    ("A foggy harbour at daybreak with sailing boats", 24),
    ("“The Long Winter”: icy tundra at sunset, pull back", 25),
    ("A pink and teal sky above the hills", 26),
)
"""What is asked for, and the seed."""
SIZE = (1280, 720)
SHOWN = (224, 126)
FRAMES, FPS = 120, 24
COLUMNS = 2
CAPTION, GAP = 20, 6
PAPER, INK = "#101216", "#d8dce4"

Picture = NDArray[np.uint8]


def strip(prompt: str, seed: int) -> Picture:
    """The three frames of a prompt, side by side."""
    scene = Scene(Shot(prompt, *SIZE, frames=FRAMES, fps=FPS, seed=seed))
    frame = Planes.blank(*SIZE)
    shown = []
    for share in (0.0, 0.5, 1.0):
        scene.expose(share, frame)
        picture = cv2.cvtColor(frame.buffer, cv2.COLOR_YUV2RGB_I420)
        shown.append(cv2.resize(picture, SHOWN, interpolation=cv2.INTER_AREA))
    return np.hstack(shown).astype(np.uint8)


def sheet() -> Image.Image:
    """All of them, each with its prompt."""
    rows = -(-len(PROMPTS) // COLUMNS)
    wide, high = 3 * SHOWN[0] + GAP, SHOWN[1] + CAPTION + GAP
    image = Image.new("RGB", (COLUMNS * wide + GAP, rows * high + GAP), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for number, (prompt, seed) in enumerate(PROMPTS):
        left, top = GAP + number % COLUMNS * wide, GAP + number // COLUMNS * high
        draw.text((left, top), prompt, INK, font)
        image.paste(Image.fromarray(strip(prompt, seed)), (left, top + CAPTION))
    return image


def main() -> None:
    """Write the sheet to the file named, or into the docs."""
    docs = Path(__file__).parents[1] / "docs" / "gallery.jpg"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else docs
    sheet().save(out, quality=80, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
