"""The pictures: ridges under a sky, marked SAMPLE and with the photo's id.

Pillow leaves the edges of shapes jagged. So a picture is drawn at twice its size, in greys, then halved, and coloured last. The
greys have the order of what touches, sun, sky, land: halfway between two of them is a colour that suits their edge.
"""

import functools
import io
import itertools
import math
from random import Random

from PIL import Image, ImageDraw, ImageFont

from pipeline.sandbox.photos import Sample

GREYS = SUN, SKY, HORIZON, FAR, NEAR = 0, 40, 160, 190, 255


def draw(sample: Sample, width: int) -> bytes:
    """Return the photo as a JPEG `width` pixels wide."""
    size = across, down = 2 * width, 2 * round(sample.height * width / sample.width)
    chance = Random(f"drawing {sample.id}")
    # The sky has the horizon's grey from two thirds of the way down.
    column = Image.linear_gradient("L").resize((1, down)).point(lambda y: min(HORIZON, SKY + (HORIZON - SKY) * y // 170))
    greys = column.resize(size, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(greys)
    sun = across * chance.uniform(0.15, 0.85), down * chance.uniform(0.14, 0.34)
    pen.circle(sun, min(size) * chance.uniform(0.06, 0.14), fill=SUN)
    layers = chance.randrange(4, 7)
    for layer in range(layers):
        nearness = layer / (layers - 1)
        crest = _crest(sample.ridge, across, min(size), down * (0.46 + 0.44 * nearness), chance)
        pen.polygon([(0, down), *crest, (across, down)], fill=round(FAR + (NEAR - FAR) * nearness))
    greys = greys.reduce(2)
    greys.putpalette(_colours(sample.palette))
    image = greys.convert("RGB")
    _write_marks(image, sample)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=80)
    return jpeg.getvalue()


def _crest(ridge: str, across: int, unit: int, base: float, chance: Random) -> list[tuple[float, float]]:
    """Return the points of a ridge above `base`, from left of the picture to right of it."""
    breadth, lowest, highest = {"hills": (0.01, 0, 0), "peaks": (0.1, 0.1, 0.26), "pines": (0.02, 0.07, 0.12)}[ridge]
    phase, length = chance.uniform(0, 6), chance.uniform(2, 5)
    x, points = -0.2, [(0.0, base)]
    while points[-1][0] <= across:
        x += breadth * chance.uniform(0.8, 1.2)
        y = 0.05 * math.sin(phase + length * x) + 0.025 * math.sin(2 * phase + 2.7 * length * x)
        y += len(points) % 2 * chance.uniform(lowest, highest)
        points.append((x * unit, base - y * unit))
    return points


@functools.cache
def _colours(palette: tuple[str, ...]) -> bytes:
    """Return red, green and blue of each of the 256 greys."""
    stops = [(grey, bytes.fromhex(colour[1:])) for grey, colour in zip(GREYS, palette, strict=True)]
    colours = bytearray(stops[0][1])
    for (start, before), (stop, after) in itertools.pairwise(stops):
        for step in range(1, stop - start + 1):
            colours += bytes(round(a + (b - a) * step / (stop - start)) for a, b in zip(before, after, strict=True))
    return bytes(colours)


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
            stroke_fill=sample.palette[-1],
        )
