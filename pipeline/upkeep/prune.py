"""Remove old pictures, once ROOT/pruned-before says up to which day: what is missing before that day stays missing."""

from collections.abc import Iterator
from datetime import date, timedelta

from pipeline import minutes, page, settings
from pipeline.archive import KEPT, Archive


def prune(archive: Archive, everything: bool, dry_run: bool) -> list[tuple[str, str, int]]:
    """Remove pictures of days before the last `keep_days`, with their thumbnails, and what killed runs left.

    `everything` takes the other files of these days too. Files of the user's stay, and all behind a link that leads out of
    ROOT. Return of each file that goes what it is, its name and its bytes.
    """
    keep_days, today = settings.storage_settings().keep_days, minutes.present_minute().date()
    first_kept = date.min if keep_days is None else today - timedelta(days=keep_days)
    given_until = today - timedelta(days=settings.unsplash_settings().no_repeat_days)
    doomed = list(_doomed(archive, first_kept, given_until, everything))
    if dry_run:
        return doomed
    if keep_days is not None and archive.days():
        archive.put_pruned_before(first_kept)
    archive.remove(name for _, name, _ in doomed)
    for day in archive.days():
        if day < today and not archive.is_outside(day):  # in today's folder a run may be about to write
            archive.remove_empty(day)
    if any(kind == "pictures" for kind, _, _ in doomed):
        page.refresh(archive, [])
    return doomed


def _doomed(archive: Archive, first_kept: date, given_until: date, everything: bool) -> Iterator[tuple[str, str, int]]:
    """Give the files that go as `prune` returns them; those of the newest picture's minute and of favourites stay."""
    newest, kept = archive.newest(), archive.chosen(KEPT)
    old = (day for day in archive.days() if day < first_kept and not archive.is_outside(day))
    for day in old:
        for file in archive.files_of(day):
            if file.minute and (file.minute == newest or minutes.name(file.minute) in kept):
                continue
            if file.kind in ("pictures", "thumbnails"):
                yield file.kind, file.name, file.size
            elif file.kind == "pages" or (everything and (file.kind != "given" or day < given_until)):
                yield "other files", file.name, file.size
    for name, size in archive.leftovers().items():
        yield "leftovers of killed runs", name, size
