"""Whatever bytes come for a picture, only BadJpeg comes out."""

import functools
import io

from hypothesis import strategies as st
from PIL import Image

from pipeline import jpeg
from pipeline.errors import BadJpeg
from tests.fuzzing import examples, fuzz


@functools.cache
def pictures() -> list[bytes]:
    """Return small JPEGs of several kinds."""
    made = []
    for mode, options in (
        ("RGB", {}),
        ("L", {"progressive": True}),
        ("CMYK", {}),
        ("RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}),
    ):
        buffer = io.BytesIO()
        Image.effect_noise((40, 30), 50).convert(mode).save(buffer, "JPEG", **options)
        made.append(buffer.getvalue())
    return made


@examples
def test_mutated_jpegs(examples: int) -> None:
    """A JPEG with bytes changed, taken out or put in is refused by name, or decodes as its head says."""

    def test(number: int, changes: list[tuple[int, bytes, int]]) -> None:
        body = pictures()[number]
        for place, inserted, removed in changes:
            place %= len(body) + 1
            body = body[:place] + inserted + body[place + removed :]
        try:
            picture = jpeg.picture(body)
        except BadJpeg as error:
            assert len(str(error)) < 300
            return
        assert picture.length == len(body)
        assert 0 < picture.width * picture.height <= jpeg.MAX_PIXELS
        assert max(Image.open(io.BytesIO(picture.thumbnail)).size) <= jpeg.MAX_THUMBNAIL_PIXELS

    markers = st.sampled_from(
        [b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"\xff\xdd", b"\xff\xe1\xff\xff", b"\0" * 9]
    )
    change = st.tuples(st.integers(0, 10_000), st.binary(max_size=4) | markers, st.integers(0, 6))
    fuzz(examples, test, st.integers(0, 3), st.lists(change, min_size=1, max_size=6))
