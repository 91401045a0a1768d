"""Whatever bytes come for a picture, only BadJpeg comes out."""

import io

import pytest
from hypothesis import strategies as st
from PIL import Image

from pipeline import jpeg
from pipeline.errors import BadJpeg
from tests.fuzzing import fuzz
from tests.pictures import samples

KINDS = [
    samples.encoded(samples.noise(width=40, height=30)),
    samples.encoded(samples.noise("L", 40, 30), progressive=True),
    samples.encoded(samples.noise("CMYK", 40, 30)),
    samples.encoded(samples.noise(width=40, height=30), exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    samples.encoded(samples.noise(width=40, height=30), exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"),
]
MARKERS = [
    b"\xff\xd8",
    b"\xff\xd9",
    b"\xff\xda",
    b"\xff\xc0",
    b"\xff\xc2",
    b"\xff\xc4",
    b"\xff\xdd",
    b"\xff\xe1\xff\xff",
    bytes(9),
]


@pytest.mark.parametrize("examples", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_mutated_jpegs(examples: int) -> None:
    """A JPEG with bytes changed, taken out or put in is refused by name, or decodes as its head says."""

    def test(content: bytes, changes: list[tuple[int, bytes, int]]) -> None:
        for place, inserted, removed in changes:
            place %= len(content) + 1
            content = content[:place] + inserted + content[place + removed :]
        try:
            picture = jpeg.picture(content)
        except BadJpeg as error:
            assert len(str(error)) < 300
            return
        assert picture.length == len(content)
        assert 0 < picture.width * picture.height <= jpeg.MAX_PIXELS
        assert max(Image.open(io.BytesIO(picture.thumbnail)).size) <= jpeg.MAX_THUMBNAIL_PIXELS

    change = st.tuples(st.integers(0, 10_000), st.binary(max_size=4) | st.sampled_from(MARKERS), st.integers(0, 6))
    fuzz(examples, test, st.sampled_from(KINDS), st.lists(change, min_size=1, max_size=6))
