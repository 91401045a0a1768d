"""Remove old pictures, once ROOT/pruned-before says up to which day: what is missing before that day stays missing."""

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta

from pipeline import minutes, page, settings
from pipeline.archive import KEPT, Archive, hour_name
from pipeline.errors import RootUnusable

MOST_DAYS_STILL = 366  # without a picture: a clock that jumped ahead would have everything pruned


def prune(archive: Archive, everything: bool, dry_run: bool) -> dict[str, tuple[int, int]]:
    """Remove pictures of days before the last `keep_days`, with their thumbnails, and what killed runs left.

    `everything` takes the other files of these days too. Files of the user's stay, and all behind a link that leads out of
    ROOT. Return of each kind of file how many go, and their bytes.
    """
    keep_days, now, newest = settings.storage_settings().keep_days, minutes.present_minute(), archive.newest()
    if keep_days is not None and newest and (still := now - newest).days > MOST_DAYS_STILL:
        raise RootUnusable(f"the newest picture is {still.days:,} days old: nothing is pruned, as the clock may be wrong")
    first_kept = date.min if keep_days is None else now.date() - timedelta(days=keep_days)
    given_until = now.date() - timedelta(days=settings.unsplash_settings().no_repeat_days)
    if keep_days is not None and archive.days() and not dry_run:
        archive.put_pruned_before(first_kept)
    counts, lengths, staying = Counter[str](), Counter[str](), set[datetime]()

    def remove(doomed: Collection[tuple[str, str, int]]) -> None:
        archive.remove(name for _, name, _ in doomed if not dry_run)
        for kind, _, length in doomed:
            counts[kind] += 1
            lengths[kind] += length

    for day in archive.days():
        if archive.is_outside(day):
            continue
        if day < first_kept:
            with archive.while_choices_stand():
                favourites, stored = archive.chosen(KEPT), archive.outcomes_of(day)[0]
                stays = [each for each in stored if each == newest or minutes.name(each) in favourites]
                remove(list(_doomed(archive, day, stays, everything, given_until)))
            staying.update(stays)
        if day < now.date() and not dry_run:  # in today's folder a run may be about to write
            archive.remove_empty(day)
    remove([("leftovers of killed runs", name, size) for name, size in archive.leftovers().items()])
    if counts["pictures"] and not dry_run:
        page.mend(archive, staying)
    return {kind: (count, lengths[kind]) for kind, count in counts.items() if count}


def _doomed(
    archive: Archive, day: date, stays: Collection[datetime], everything: bool, given_until: date
) -> Iterator[tuple[str, str, int]]:
    """Give the day's files that go as `prune` returns them; those of minutes that stay, and what shows these, stay."""
    shown = {hour_name(minute) for minute in stays}
    for file in archive.files_of(day):
        if file.minute in stays or file.name in shown:
            continue
        if file.kind in ("pictures", "thumbnails"):
            yield file.kind, file.name, file.size
        elif file.kind == "pages" or (everything and (file.kind != "given" or day < given_until)):
            yield "other files", file.name, file.size
