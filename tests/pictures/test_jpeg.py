"""What is one whole JPEG, what is not, and what is made of it."""

import io

import pytest
from PIL import Image

from pipeline import jpeg
from pipeline.errors import BadJpeg
from tests.pictures import samples


def shown(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=["JPEG"])


@pytest.mark.parametrize("name", samples.WHOLE)
def test_a_whole_jpeg(name: str) -> None:
    """Every kind of whole JPEG is accepted, with its size in pixels and bytes."""
    content = samples.WHOLE[name]
    picture = jpeg.picture(content)
    assert (picture.width, picture.height) == shown(content).size
    assert picture.length == len(content)


@pytest.mark.parametrize("name", samples.WHOLE)
def test_the_thumbnail(name: str) -> None:
    """The thumbnail is a JPEG in colour that is as large as the picture, or has 240 to 480 pixels on its longer side."""
    content = samples.WHOLE[name]
    thumbnail, whole = shown(jpeg.picture(content).thumbnail), shown(content)
    assert thumbnail.mode == "RGB"
    assert thumbnail.size == whole.size or jpeg.THUMBNAIL_PIXELS <= max(thumbnail.size) <= jpeg.MAX_THUMBNAIL_PIXELS


def test_the_thumbnail_has_nothing_of_the_metadata() -> None:
    """Comments, profiles and the rest of EXIF would make each thumbnail larger: they stay in the picture."""
    whole = jpeg.picture(samples.encoded(samples.noise())).thumbnail
    told = samples.encoded(samples.noise(), comment=b"x" * 1000, icc_profile=b"x" * 1000)
    assert jpeg.picture(told).thumbnail == whole


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("number", range(1, 9))
def test_the_thumbnail_is_turned_as_the_picture(number: int, order: str) -> None:
    """A viewer turns the thumbnail the same way as the picture, whatever order EXIF's bytes have."""
    thumbnail = jpeg.picture(samples.with_orientation(number, order)).thumbnail
    assert shown(thumbnail).getexif().get(0x0112, 1) == number


def test_orientation_behind_another_segment() -> None:
    """EXIF is found behind another APP1 segment, XMP."""
    turned = samples.with_orientation(8)
    told = turned[:2] + samples.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>") + turned[2:]
    assert jpeg.picture(told).thumbnail == jpeg.picture(turned).thumbnail


@pytest.mark.parametrize("name", samples.BROKEN)
def test_anything_else(name: str) -> None:
    """What is not one whole JPEG is BadJpeg, in a short line."""
    with pytest.raises(BadJpeg) as raised:
        jpeg.picture(samples.BROKEN[name])
    assert len(str(raised.value)) < 150 and str(raised.value).isprintable()


@pytest.mark.parametrize("name", samples.BEHIND)
def test_what_follows_the_end_marker(name: str) -> None:
    """What a camera wrote behind the end marker changes nothing but the length."""
    alone, content = jpeg.picture(samples.PLAIN), samples.PLAIN + samples.BEHIND[name]
    assert jpeg.picture(content) == alone._replace(length=len(content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(samples.LOSSLESS, "lossless", id="lossless"),
        pytest.param(samples.ARITHMETIC, "arithmetic-coded", id="arithmetic-coded"),
        pytest.param(samples.with_head(samples.segment(0xCC, b"\x00\x10")), "arithmetic-coded", id="DAC"),
        *(pytest.param(samples.of_frame(frame), "lossless", id=f"{frame:X}") for frame in (0xC3, 0xC7, 0xCB, 0xCF)),
        *(pytest.param(samples.of_frame(frame), "arithmetic-coded", id=f"{frame:X}") for frame in (0xC9, 0xCA, 0xCD, 0xCE)),
        *(pytest.param(samples.of_frame(frame), "hierarchical", id=f"{frame:X}") for frame in (0xC5, 0xC6)),
    ],
)
def test_what_no_browser_shows(content: bytes, said: str) -> None:
    """A JPEG that is coded in a way no browser knows is refused by the name of that way, also where Pillow shows it."""
    with pytest.raises(BadJpeg, match=f"^a JPEG that is {said}, which no browser shows$"):
        jpeg.picture(content)


def test_the_reason_is_true() -> None:
    """What is said of a broken JPEG is what is wrong with it."""
    for name, said in {
        "no end marker": "it ends before its end marker",
        "zeros for its second half": "it ends before its end marker",
        "half, and another JPEG": "another begins before its end marker",
        "HTML": "it begins with b'<!doctyp'",
        "a pixel bomb": "65000 × 65000 pixels are more than the 120,000,000 allowed",
        "a scan bomb": "more than the 100 scans allowed",
        "a segment bomb": "more than the 2,000 segments allowed",
        "a table bomb": "more than the 262,144 bytes of tables allowed",
    }.items():
        with pytest.raises(BadJpeg) as raised:
            jpeg.picture(samples.BROKEN[name])
        assert said in str(raised.value)


CUT = {
    "plain": (samples.PLAIN, b""),
    "progressive": (samples.PROGRESSIVE, b""),
    "turned by its EXIF": (samples.with_orientation(6), b""),
    "with a JPEG in its head": (samples.WHOLE["with a JPEG in its head"], b""),
    **{f"with {name} behind": (samples.PLAIN, behind) for name, behind in samples.BEHIND.items()},
}


@pytest.mark.parametrize("places", [60, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CUT)
def test_a_cut(name: str, places: int) -> None:
    """A JPEG that is cut inside its stream is refused wherever that is; behind its end marker it is whole."""
    stream, behind = CUT[name]
    content = stream + behind
    cuts = {1, 2, 3, 20, len(stream) - 2, len(stream) - 1, *(len(content) * number // places for number in range(places))}
    cuts |= {len(stream) * number // places for number in range(places)}
    for cut in sorted(cuts):
        if cut >= len(stream):
            assert jpeg.picture(content[:cut]).length == cut
            continue
        with pytest.raises(BadJpeg):
            jpeg.picture(content[:cut])
        with pytest.raises(BadJpeg):
            jpeg.picture(content[:cut] + bytes(len(content) - cut))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(samples.PLAIN[: samples.HALF] + bytes(samples.HALF - 100) + samples.PLAIN[-100:], id="a hole of zeros"),
        pytest.param(samples.PLAIN[: samples.HALF] + samples.PLAIN[-2:], id="half, with an end marker"),
        pytest.param(samples.of_size(10_000, 10_000), id="more pixels than data"),
    ],
)
def test_what_cannot_be_told(content: bytes) -> None:
    """A JPEG that was damaged before it was served, and has its end, passes: its decoder fills the holes with grey."""
    assert jpeg.picture(content).length == len(content)
