"""The pictures: land under a sky, marked SAMPLE and with the photo's id.

Pillow leaves the edges of shapes jagged. So a picture is drawn at twice its size, in greys, then halved, and coloured last. The
greys have the order of what touches, sky, horizon and sun, land: halfway between two of them is a colour that suits their edge.
"""

import io
import math
from random import Random

from PIL import Image, ImageDraw, ImageFont, ImageOps

from pipeline.sandbox.photos import Sample

HORIZON, FAR, NEAR = 128, 160, 255  # greys; the top of the sky is 0
# How broad its points are, and how high: of hills, peaks, pines.
RIDGES = ((0.01, 0.0), (0.1, 0.26), (0.025, 0.12))
LAYERS = 4


def draw(sample: Sample, width: int) -> bytes:
    """Return the photo as a JPEG `width` pixels wide."""
    size = across, down = 2 * width, 2 * round(sample.height * width / sample.width)
    unit, chance = min(size), Random(f"drawing {sample.id}")
    # The sky has the horizon's grey from two thirds of the way down.
    column = Image.linear_gradient("L").resize((1, down)).point(lambda y: min(HORIZON, HORIZON * y // 170))
    greys = column.resize(size, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(greys)
    sun = across * chance.uniform(0.15, 0.85), down * chance.uniform(0.14, 0.34)
    pen.circle(sun, unit * chance.uniform(0.06, 0.14), fill=HORIZON)
    breadth, height = chance.choice(RIDGES)
    for layer in range(LAYERS):
        nearness, phase = layer / (LAYERS - 1), chance.uniform(0, 6)
        base, x, land = 0.46 + 0.44 * nearness, -0.2, [(0.0, float(down))]
        while land[-1][0] <= across:
            x += breadth * chance.uniform(0.8, 1.2)
            y = 0.05 * math.sin(phase + 3.5 * x) + len(land) % 2 * height * chance.uniform(0.5, 1)
            land.append((x * unit, base * down - y * unit))
        pen.polygon([*land, (across, down)], fill=round(FAR + (NEAR - FAR) * nearness))
    sky, horizon, near = sample.colours
    every_grey = Image.linear_gradient("L").crop((0, 0, 1, 256))
    greys = greys.reduce(2)
    greys.putpalette(ImageOps.colorize(every_grey, sky, near, horizon, midpoint=HORIZON).tobytes())
    image = greys.convert("RGB")
    _write_marks(image, sample)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG")
    return jpeg.getvalue()


def _write_marks(image: Image.Image, sample: Sample) -> None:
    """Write in the middle, where a page that crops its pictures to squares keeps it."""
    pen = ImageDraw.Draw(image)
    for text, size, below in (("SAMPLE", 0.15, 0), (sample.id, 0.07, 0.11)):
        pen.text(
            (image.width / 2, image.height * 0.53 + image.width * below),
            text,
            fill="white",
            anchor="mm",
            font=ImageFont.load_default(size=max(1, size * image.width)),
            stroke_width=max(1, round(0.005 * image.width)),
            stroke_fill=sample.colours[-1],
        )
