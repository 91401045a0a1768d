"""The archive's rules: where a minute's files are, when they count, and what may take their place."""

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest

from pipeline import minutes
from pipeline.archive import Archive
from pipeline.errors import PhotoReplaced, RootUnusable
from pipeline.minutes import MINUTE
from tests.archive.samples import MIDDAY, TOPICS, put_picture
from tests.support.photos import photo

Names = Callable[[], set[str]]

ADDRESS = "https://images.unsplash.com/photo-a"


def test_the_files_of_a_minute(archive: Archive, file_names: Names) -> None:
    """The paths are those of the contract."""
    archive.file_photos({MIDDAY: photo("a")}, TOPICS)
    archive.put_address(MIDDAY, ADDRESS)
    archive.put_failure(MIDDAY, "StoreImage: a reason")
    archive.put_picture(MIDDAY, photo("a"), b"a picture")
    archive.put_thumbnail(MIDDAY, b"a thumbnail")
    assert file_names() == {
        "2026-11-23/1205.json",
        "2026-11-23/1205.txt",
        "2026-11-23/1205.jpg",
        "2026-11-23/1205.error",
        "2026-11-23/thumb/1205.jpg",
    }
    assert archive.files.get("2026-11-23/1205.txt") == f"{ADDRESS}\n".encode()
    assert archive.files.get("2026-11-23/1205.jpg") == b"a picture"


def test_targets_are_of_these_files(archive: Archive) -> None:
    """Luigi's targets have the paths of the contract, and exist when their file counts."""
    targets = (archive.metadata_target(MIDDAY, TOPICS), archive.address_target(MIDDAY), archive.picture_target(MIDDAY))
    root = archive.files.path("")
    assert [target.path for target in targets] == [f"{root}/2026-11-23/1205{suffix}" for suffix in (".json", ".txt", ".jpg")]
    steps: list[Callable[[], object]] = [
        lambda: archive.file_photos({MIDDAY: photo("a")}, TOPICS),
        lambda: archive.put_address(MIDDAY, ADDRESS),
        lambda: archive.put_picture(MIDDAY, photo("a"), b"a picture"),
    ]
    for number, step in enumerate(steps):
        assert [target.exists() for target in targets] == [True] * number + [False] * (3 - number)
        step()
    assert all(target.exists() for target in targets)


def test_an_empty_file_is_absent(archive: Archive) -> None:
    """What a power cut may leave of other programs' files does not count."""
    for name in ("1205.json", "1205.txt", "1205.jpg"):
        archive.files.put(f"2026-11-23/{name}", b"")
    assert not archive.has_photo(MIDDAY, TOPICS)
    assert not archive.address(MIDDAY)
    assert not archive.has_picture(MIDDAY)
    assert archive.missing(MIDDAY, MIDDAY + MINUTE) == [MIDDAY]
    assert archive.newest() is archive.first() is None


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b"\xff", b"{}", b'{"id": "a", "urls": {}}', b"[" * 100_000])
def test_garbled_metadata_is_absent_and_replaced(archive: Archive, content: bytes) -> None:
    """Metadata that cannot be read counts as absent, and the next answer takes its place."""
    archive.files.put("2026-11-23/1205.json", content)
    assert list(archive.open_minutes([MIDDAY], TOPICS)) == [MIDDAY]
    archive.file_photos({MIDDAY: photo("a")}, TOPICS)
    assert archive.photo(MIDDAY)["id"] == "a"


def test_the_first_answer_wins(archive: Archive) -> None:
    """A minute's photo is never replaced once it stands, nor given to a minute that has its picture."""
    archive.file_photos({MIDDAY: photo("a")}, TOPICS)
    archive.file_photos({MIDDAY: photo("b")}, TOPICS)
    assert archive.photo(MIDDAY)["id"] == "a"
    put_picture(archive, MIDDAY + MINUTE)
    assert list(archive.open_minutes([MIDDAY, MIDDAY + MINUTE, MIDDAY + 2 * MINUTE], TOPICS)) == [MIDDAY + 2 * MINUTE]


def test_a_photo_of_a_topic_that_is_no_longer_set(archive: Archive) -> None:
    """It counts as absent and is replaced, unless its picture is stored."""
    archive.file_photos({MIDDAY: photo("a", "wisdom")}, ("wisdom",))
    assert archive.has_photo(MIDDAY, ("wisdom",))
    assert not archive.has_photo(MIDDAY, TOPICS)
    assert list(archive.open_minutes([MIDDAY], TOPICS)) == [MIDDAY]
    archive.file_photos({MIDDAY: photo("b")}, TOPICS)
    assert archive.photo(MIDDAY)["id"] == "b"
    archive.put_picture(MIDDAY, photo("b"), b"a picture")
    archive.file_photos({MIDDAY: photo("c", "wisdom")}, ("wisdom",))
    assert archive.has_photo(MIDDAY, ("wisdom",))
    assert archive.photo(MIDDAY)["id"] == "b"


def test_an_address_counts_only_with_its_photo(archive: Archive) -> None:
    """The address of another photo, or of one whose metadata is gone, counts as absent."""
    archive.file_photos({MIDDAY: photo("a")}, TOPICS)
    archive.put_address(MIDDAY, ADDRESS)
    assert archive.address(MIDDAY) == ADDRESS
    for other in (b"https://images.unsplash.com/photo-b\n", b"\0\0\0\n", f"{ADDRESS}\nmore\n".encode(), b"\xff\n"):
        archive.files.put("2026-11-23/1205.txt", other)
        assert archive.address(MIDDAY) == ""
    archive.put_address(MIDDAY, ADDRESS)
    archive.files.delete(["2026-11-23/1205.json"])
    assert archive.address(MIDDAY) == ""


def test_a_photo_is_dropped_once(archive: Archive, file_names: Names) -> None:
    """A photo that cannot be had goes with its address; one that took its place, or was stored, stays."""
    archive.file_photos({MIDDAY: photo("a")}, TOPICS)
    archive.put_address(MIDDAY, ADDRESS)
    archive.drop_photo(MIDDAY, "b")
    assert archive.address(MIDDAY)
    archive.drop_photo(MIDDAY, "a")
    assert file_names() == set()
    archive.file_photos({MIDDAY: photo("c")}, TOPICS)
    archive.put_picture(MIDDAY, photo("c"), b"a picture")
    archive.drop_photo(MIDDAY, "c")
    assert file_names() == {"2026-11-23/1205.json", "2026-11-23/1205.jpg"}


def test_a_picture_of_a_photo_that_was_replaced(archive: Archive, file_names: Names) -> None:
    """A picture takes its place only while the minute's photo is its own."""
    archive.file_photos({MIDDAY: photo("a")}, TOPICS)
    archive.drop_photo(MIDDAY, "a")
    archive.file_photos({MIDDAY: photo("b")}, TOPICS)
    with pytest.raises(PhotoReplaced):
        archive.put_picture(MIDDAY, photo("a"), b"a picture")
    assert file_names() == {"2026-11-23/1205.json"}


def test_the_reason_of_a_failure(archive: Archive, file_names: Names) -> None:
    """It is kept in one line with its time, not beside a picture, and goes when it is told to."""
    archive.put_failure(MIDDAY, "StoreImage: a reason\nin two lines")
    failure = archive.failures(MIDDAY, MIDDAY + MINUTE)
    assert {minute: each.reason for minute, each in failure.items()} == {MIDDAY: "StoreImage: a reason in two lines"}
    assert abs(datetime.strptime(failure[MIDDAY].at, "%Y-%m-%dT%H:%M:%SZ") - minutes.present_minute()) < 3 * MINUTE
    put_picture(archive, MIDDAY + MINUTE)
    archive.put_failure(MIDDAY + MINUTE, "StoreImage: too late")
    archive.forget_failure(MIDDAY)
    archive.forget_failure(MIDDAY)
    assert file_names() == {"2026-11-23/1206.jpg"}


def test_a_reason_beside_a_picture(archive: Archive) -> None:
    """What a run that was killed between the picture and its reason left counts as no failure."""
    archive.put_failure(MIDDAY, "StoreImage: a reason")
    put_picture(archive, MIDDAY)
    assert archive.outcomes_of(MIDDAY.date())[1] == []
    assert archive.outcomes_of(MIDDAY.date())[0] == [MIDDAY]


def test_latest_never_moves_back(archive: Archive) -> None:
    """latest.jpg is the newest minute's picture, whatever order they are stored in."""
    shown = []
    for late in (5, 7, 6, 7, 8):
        minute, content = MIDDAY.replace(minute=late), f"picture {late}".encode()
        put_picture(archive, minute, content)
        archive.publish_latest(minute, content)
        shown.append(archive.files.get("latest.jpg"))
    assert shown == [b"picture 5", b"picture 7", b"picture 7", b"picture 7", b"picture 8"]


@pytest.mark.parametrize("distance", [timedelta(minutes=3), timedelta(days=1), timedelta(days=3650)])
def test_a_minute_later_than_now_is_never_the_newest(archive: Archive, distance: timedelta) -> None:
    """A picture whose time has not come is neither the newest nor latest.jpg, and keeps no earlier one from being it."""
    ahead = minutes.present_minute() + distance
    put_picture(archive, MIDDAY)
    put_picture(archive, ahead)
    assert archive.newest() == MIDDAY
    assert archive.ahead() == [ahead]
    assert not archive.publish_latest(ahead, b"ahead")
    assert archive.files.get("latest.jpg") is None
    assert archive.publish_latest(MIDDAY, b"midday")
    assert archive.files.get("latest.jpg") == b"midday"


def test_given_photos_are_remembered_for_so_many_days(archive: Archive) -> None:
    """A photo comes into question again after so many days, before and after its minute, and for 0 days at once."""
    give = archive.give
    day = timedelta(days=1)
    assert give("ab", [MIDDAY, MIDDAY + day], 30) == {MIDDAY: "a", MIDDAY + day: "b"}
    assert give("abc", [MIDDAY + MINUTE], 30) == {MIDDAY + MINUTE: "c"}
    assert give("bcda", [MIDDAY + 31 * day], 30) == {MIDDAY + 31 * day: "c"}
    assert give("cba", [MIDDAY - 31 * day], 30) == {MIDDAY - 31 * day: "c"}
    assert give("abd", [MIDDAY + 2 * MINUTE], 0) == {MIDDAY + 2 * MINUTE: "a"}


def test_more_minutes_than_photos(archive: Archive) -> None:
    """The first minutes get the photos, each of them once."""
    asked = [MIDDAY + number * MINUTE for number in range(3)]
    assert archive.give("ab", asked, 30) == {asked[0]: "a", asked[1]: "b"}
    assert archive.files.get("2026-11-23/given") == b"1205 a\n1206 b\n"


def test_missing_minutes(archive: Archive) -> None:
    """What is missing is found by day folders, across midnight, from start to before stop."""
    start = datetime(2026, 11, 23, 23, 58)
    for minute in (start, start + 3 * MINUTE):
        put_picture(archive, minute)
    assert archive.missing(start, start + 5 * MINUTE) == [start + MINUTE, start + 2 * MINUTE, start + 4 * MINUTE]
    assert archive.missing(start, start + MINUTE) == archive.missing(start, start) == []
    assert archive.complete(iter([start, start + MINUTE, start + 3 * MINUTE])) == [start, start + 3 * MINUTE]
    assert archive.first() == start
    assert archive.newest() == start + 3 * MINUTE


def test_what_was_pruned_is_not_missing(archive: Archive) -> None:
    """Minutes before ROOT/pruned-before count as complete; a file that names no day is said, not passed over."""
    start = datetime(2026, 11, 22, 23, 58)
    archive.put_pruned_before(datetime(2026, 11, 23).date())
    archive.put_pruned_before(datetime(2026, 11, 20).date())
    assert archive.files.get("pruned-before") == b"2026-11-23\n"
    assert archive.missing(start, start + 4 * MINUTE) == [start + 2 * MINUTE, start + 3 * MINUTE]
    assert archive.complete([start, start + 3 * MINUTE]) == [start]
    archive.files.put("pruned-before", b"yesterday\n")
    with pytest.raises(RootUnusable, match="pruned-before"):
        archive.missing(start, start + MINUTE)


def test_where_missing_begins_after_an_outage(archive: Archive) -> None:
    """Where all pictures are older than what is kept, what is missing since counts; without any picture nothing does."""
    archive.put_pruned_before(date(2026, 11, 22))
    assert archive.first() is None
    put_picture(archive, datetime(2026, 11, 20, 12))
    assert archive.first() == datetime(2026, 11, 22)
    put_picture(archive, MIDDAY)
    assert archive.first() == datetime(2026, 11, 22)


def test_an_old_picture_is_not_the_newest(archive: Archive) -> None:
    """It does not become latest.jpg, how many days there may be since."""
    old = datetime(2024, 2, 29, 12, 5)
    for minute in (MIDDAY, old):
        put_picture(archive, minute)
    assert not archive.publish_latest(old, b"old")
    assert archive.publish_latest(MIDDAY, b"new")


def test_a_folder_with_the_name_of_a_file(archive: Archive) -> None:
    """It is the user's: no listing has it, and its minute is missing."""
    put_picture(archive, MIDDAY)
    if archive.root.startswith("s3:"):
        archive.files.put("2026-11-23/1206.jpg/1207.jpg", b"the user's")
    else:
        archive.local_path(MIDDAY + MINUTE).mkdir()
    assert [file.minute for file in archive.files_of(MIDDAY.date()) if file.kind == "pictures"] == [MIDDAY]
    assert archive.missing(MIDDAY, MIDDAY + 2 * MINUTE) == [MIDDAY + MINUTE]


def test_metadata_survives_the_way_to_the_disk(archive: Archive) -> None:
    """The photo is kept as the API gave it, whatever characters it has."""
    given = {**photo("a"), "description": "Ramsés 見本 \ud800", "width": 1e3, "extra": [None, True]}
    archive.file_photos({MIDDAY: given}, TOPICS)
    assert archive.photo(MIDDAY) == given
    content = archive.files.get("2026-11-23/1205.json")
    assert content and json.loads(content.decode("ascii")) == given
