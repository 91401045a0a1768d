"""The sandbox's pictures: drawn from the id alone, each different, all marked."""

import subprocess
import sys

import pytest
import requests
from PIL import Image, ImageChops, ImageDraw, ImageFont

from pipeline import sandbox
from tests.sandbox import samples
from tests.sandbox.samples import KEY


@pytest.mark.parametrize(("size", "width"), [("raw", None), ("full", None), ("regular", 1080), ("small", 400), ("thumb", 200)])
def test_pictures_are_as_wide_as_asked(origin: str, size: str, width: int | None) -> None:
    """Each address gives one whole JPEG of its width, or of the size the photo states, without a key."""
    photo = requests.get(f"{origin}/photos/random", headers=KEY, timeout=60).json()
    image = samples.decoded(requests.get(photo["urls"][size], timeout=60).content)
    assert image.width == (width or photo["width"])
    assert image.height == round(photo["height"] * image.width / photo["width"])


@pytest.mark.parametrize("width", ["0", "-1", "wide", "9999", "9" * 5000])
def test_an_unusable_width_gives_the_own_size(width: str) -> None:
    """A picture is never wider than the photo, and a width that is none is ignored."""
    sample = sandbox.Sample(*samples.ids(1))
    answer = sandbox.Sandbox().answer(f"{sample.path}?w={width}", {})
    assert samples.decoded(answer.body).size == (sample.width, sample.height)


def test_a_picture_may_be_one_pixel_wide() -> None:
    """The smallest width still gives a whole JPEG, whatever the shape."""
    for photo_id in samples.ids(20):
        assert samples.decoded(sandbox.drawing(photo_id, 1)).width == 1


def test_a_picture_has_one_path_only(client: requests.Session, origin: str) -> None:
    """A photo's picture is not found under another time or as an Unsplash+ photo it is not."""
    (photo_id,) = samples.ids(1, premium=False)
    path = sandbox.Sample(photo_id).path
    assert client.get(origin + path).status_code == 200
    assert client.get(f"{origin}/premium_{path[1:]}").status_code == 404
    assert client.get(f"{origin}/photo-0000000000000-{photo_id}").status_code == 404


def test_different_photos_have_different_pictures() -> None:
    """No two photos look the same, even where their ids differ in the last character alone."""
    similar = [f"AAAAAAAAAA{last}" for last in "ABCDEFGHIJ"]
    assert len({sandbox.drawing(photo_id, 200) for photo_id in [*samples.ids(50), *similar]}) == 60


@pytest.mark.parametrize("photo_id", samples.ids(12))
@pytest.mark.parametrize("width", [200, 1080])
def test_pictures_are_marked(photo_id: str, width: int) -> None:
    """The word SAMPLE and the photo's id are in the middle of every picture, in white with a dark rim."""
    picture = samples.decoded(sandbox.drawing(photo_id, width)).convert("L")
    assert legible(picture, "SAMPLE", 0.15, 0) > 0.9 > 0.6 > legible(picture, "SIMPLE", 0.15, 0)
    assert legible(picture, photo_id, 0.07, 0.11) > 0.8 > 0.6 > legible(picture, photo_id[::-1], 0.07, 0.11)


def legible(picture: Image.Image, text: str, size: float, below: float) -> float:
    """Return how much of the text is white in the picture, less how much of its rim is."""
    font = ImageFont.load_default(size=size * picture.width)
    place = (picture.width / 2, picture.height * 0.53 + picture.width * below)
    inside, rim = Image.new("L", picture.size), Image.new("L", picture.size)
    ImageDraw.Draw(inside).text(place, text, fill=255, anchor="mm", font=font)
    ImageDraw.Draw(rim).text(place, text, fill=255, anchor="mm", font=font, stroke_width=max(1, picture.width // 200))
    rim = ImageChops.subtract(rim, inside)
    white = picture.point([0] * 200 + [255] * 56)
    return share(white, inside.point([0] * 255 + [255])) - share(white, rim.point([0] * 255 + [255]))


def share(white: Image.Image, mask: Image.Image) -> float:
    return white.histogram(mask)[255] / mask.histogram()[255]


def test_processes_agree_on_a_photo() -> None:
    """Two processes that share nothing give the same photo and the same picture for an id."""
    program = """
import hashlib, sys
from pipeline.sandbox import Sample, Sandbox
for photo_id in sys.argv[1:]:
    for target in (f"/photos/{photo_id}", f"/photos/{photo_id}/download", Sample(photo_id).path + "?w=400"):
        answer = Sandbox().answer(target, {"Authorization": "Client-ID any-key"})
        print(answer.status, hashlib.sha256(answer.body).hexdigest())
"""
    photo_ids = ["-AAAAAAAAAA", "_AAAAAAAAAA", *samples.ids(2)]
    command = [sys.executable, "-c", program, *photo_ids]
    outputs = [subprocess.run(command, capture_output=True, check=True, text=True).stdout for _ in range(2)]
    assert outputs[0] == outputs[1]
    assert outputs[0].count("200 ") == 3 * len(photo_ids)
    assert len(set(outputs[0].split("\n"))) == 3 * len(photo_ids) + 1


def test_about_2_in_30_photos_are_premium() -> None:
    """Between 4 and 10 in a hundred photos are Unsplash+."""
    assert 80 <= sum(sandbox.Sample(photo_id).is_premium for photo_id in samples.ids(2000)) <= 200


@pytest.mark.parametrize(
    ("program", "unused"),
    [
        ("import pipeline, pipeline.unsplash", "pipeline.sandbox"),
        (
            "from pipeline.sandbox import Sandbox; Sandbox().answer('/photos/random', {'Authorization': 'Client-ID x'})",
            "PIL.ImageDraw",
        ),
    ],
)
def test_what_draws_nothing_loads_nothing(program: str, unused: str) -> None:
    """A minute with a real key does not import the sandbox, and the sandbox imports what it draws with when it draws."""
    check = f"import sys; assert {unused!r} not in sys.modules, sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{program}\n{check}"], check=True, timeout=60)
