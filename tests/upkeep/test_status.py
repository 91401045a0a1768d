"""`python -m pipeline status`: what it counts, what it prints, and when it is a failed health check."""

import json
import re
from datetime import timedelta
from typing import Any

from pipeline import minutes, unsplash
from pipeline.archive import Archive
from pipeline.minutes import MINUTE
from tests.conftest import Project
from tests.upkeep.stored import files, keep


def status(project: Project, *options: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code, and what `status --json` says."""
    run = project.run("pipeline", "status", "--json", *options)
    assert run.stderr == ""
    return run.returncode, json.loads(run.stdout)


def test_the_last_24_hours_are_counted(project: Project) -> None:
    """Each minute of the 24 hours before the present one is stored, failed or missing; older ones do not count."""
    archive, now = Archive(project.root), minutes.present_minute()
    for age in (1, 61, 24 * 60 - 10, 25 * 60):
        keep(archive, now - age * MINUTE)
    for age in (61, 62, 63, 25 * 60 + 1):
        archive.put_failure(now - age * MINUTE, "StoreImage: no answer")
    _, found = status(project)
    assert found["newest"] == minutes.name(now - MINUTE)
    counts = {name: found["last_24_hours"][name] for name in ("stored", "failed", "missing")}
    assert counts == {"stored": 3, "failed": 2, "missing": 1440 - 5}


def test_what_is_missing_is_counted_from_the_first_picture(project: Project) -> None:
    """Minutes before the first picture of all are not missing."""
    archive, now = Archive(project.root), minutes.present_minute()
    for age in (1, 100):
        keep(archive, now - age * MINUTE)
    counts = status(project)[1]["last_24_hours"]
    assert (counts["stored"], counts["failed"]) == (2, 0)
    assert counts["missing"] in (98, 99), "a minute more when the present one ends meanwhile"


def test_the_bytes_are_those_of_the_counted_minutes(project: Project) -> None:
    """The bytes of the last 24 hours are the sizes of those minutes' files, thumbnails included, and of no others."""
    archive, now = Archive(project.root), minutes.present_minute()
    for age in (60, 25 * 60):
        keep(archive, now - age * MINUTE)
    counted = now - 60 * MINUTE
    archive.put_thumbnail(counted, b"123")
    _, found = status(project)
    sizes = [path.stat().st_size for path in files(archive, counted).values() if path.exists()]
    assert len(sizes) == 3
    assert found["last_24_hours"]["bytes"] == sum(sizes)


def test_an_old_newest_picture_fails_the_health_check(project: Project) -> None:
    """The exit code is 1 when the newest picture is older than 5 minutes, or than --max-age says."""
    keep(Archive(project.root), minutes.present_minute() - 20 * MINUTE)
    code, found = status(project)
    assert (code, found["age_seconds"] // 60) in {(1, 20), (1, 21)}
    assert status(project, "--max-age", "30")[0] == 0


def test_a_new_picture_passes_the_health_check(project: Project) -> None:
    """The exit code is 0 when the newest picture is new, and the text says how things stand."""
    archive, now = Archive(project.root), minutes.present_minute()
    keep(archive, now)
    archive.put_quota(unsplash.Quota(50, 38))
    run = project.run("pipeline", "status")
    assert run.returncode == 0
    assert run.stdout.splitlines()[0].startswith(f"newest picture  {minutes.name(now)}, ")
    assert " stored, 0 missing, " in run.stdout
    assert "38 of 50 requests left this hour" in run.stdout


def test_without_a_picture_the_health_check_fails(project: Project) -> None:
    """A ROOT without any picture is a failed health check that says so."""
    project.root.mkdir()
    run = project.run("pipeline", "status")
    assert run.returncode == 1
    assert "newest picture  none\n" in run.stdout
    assert "no picture for more than 5 minutes" in run.stdout


def test_before_the_first_picture_there_is_none(project: Project) -> None:
    """Where nothing was ever stored the newest picture is none, which is too old."""
    run = project.run("pipeline", "status")
    assert run.returncode == 1
    assert run.stdout.startswith("newest picture  none\n")
    assert run.stderr == ""
    assert not project.root.exists()


def test_the_quota_is_that_of_this_hour(project: Project) -> None:
    """What was read of the quota in an earlier hour says nothing of this one."""
    archive = Archive(project.root)
    keep(archive, minutes.present_minute())
    archive.put_quota(unsplash.Quota(50, 38))
    path = project.root / "quota"
    kept = json.loads(path.read_text())
    earlier = minutes.present_minute() - timedelta(hours=1)
    path.write_text(json.dumps(kept | {"at": f"{earlier.isoformat()}Z"}))
    assert status(project)[1]["quota"] is None


def test_pictures_ahead_of_the_clock_are_named(project: Project) -> None:
    """Pictures later than now are not the newest; `status` names them, and is not well with them."""
    archive, now = Archive(project.root), minutes.present_minute()
    ahead = [now + timedelta(days=400), now + timedelta(days=401)]
    for minute in (now, *ahead):
        keep(archive, minute)
    code, found = status(project)
    assert (code, found["newest"], found["ahead"]) == (1, minutes.name(now), [minutes.name(minute) for minute in ahead])
    named = f"2 pictures are ahead of the clock, {minutes.name(ahead[0])} to {minutes.name(ahead[1])}: "
    assert named in project.run("pipeline", "status").stdout


def test_files_of_the_user_do_not_count(project: Project) -> None:
    """Files and folders that only look like a minute's are neither pictures, nor failures, nor bytes of ours."""
    archive, now = Archive(project.root), minutes.present_minute()
    keep(archive, now - 5 * MINUTE)
    before = status(project)[1]["last_24_hours"]
    folder = files(archive, now - 5 * MINUTE)["jpg"].parent
    for name in ("1201 (1).jpg", "2460.jpg", "12010.jpg", "1201.jpeg", "sunset for grandma.jpg"):
        (folder / name).write_bytes(bytes(1000))
    (folder / f"{now - 2 * MINUTE:%H%M}.jpg").mkdir()
    (folder / "favourites").mkdir()
    (folder / "favourites" / f"{now - 2 * MINUTE:%H%M}.jpg").write_bytes(bytes(1000))
    after = status(project)[1]["last_24_hours"]
    assert {**after, "missing": 0} == {**before, "missing": 0}


def test_missing_means_the_same_to_status_and_catch_up(project: Project) -> None:
    """Both count from the first picture, say so, and name the catch-up that stores what lies before it."""
    archive, now = Archive(project.root), minutes.present_minute()
    for age in (12, 30):
        keep(archive, now - age * MINUTE)
    archive.put_failure(now - 11 * MINUTE, "StoreImage: no answer")
    shown = project.run("pipeline", "status").stdout
    first = minutes.name(now - 30 * MINUTE)
    note = rf"before the first picture, {first}, no minute counts as missing: catch-up --start \S+ stores these too\n"
    assert re.search(note, shown)
    counted = re.search(r"2 stored, (\d+) missing, 1 of them failed", shown)
    assert counted, shown
    run = project.run("pipeline", "catch-up", "--workers", "1")
    assert re.search(note, run.stderr)
    stored = re.search(r"done: (\d+) of \1 missing stored", run.stderr)
    recent = re.search(r"(\d) of the last 5 minutes are missing too", run.stderr)
    assert stored and recent, run.stderr
    assert int(stored[1]) + int(recent[1]) - int(counted[1]) in (0, 1), "a minute more when the present one ends meanwhile"


def test_without_a_picture_nothing_is_missing(project: Project) -> None:
    """Before there is a picture neither counts any minute, and both say how to store some all the same."""
    shown, caught = project.run("pipeline", "status").stdout, project.run("pipeline", "catch-up").stderr
    assert "0 stored, 0 missing, " in shown
    assert "done: 0 of 0 missing stored" in caught
    for said in (shown, caught):
        assert "before a first picture no minute counts as missing: catch-up --start " in said
