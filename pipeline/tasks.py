"""A picture a minute, in three tasks.

FetchMetadata asks Unsplash for photos of the minute's topic, and files one under its minute and one under each of the topic's
next minutes that have none. ExtractUrl writes down where the picture of the minute's photo is. StoreImage stores it, if it is
one whole JPEG. A minute whose picture is stored is complete: no run asks for it again.
"""

from collections.abc import Iterable
from datetime import datetime

import luigi
from luigi.util import requires

from pipeline import gallery, jpeg, lookahead, quota, settings, unsplash
from pipeline.minutes import MinuteParameter
from pipeline.outcomes import only_said, recorded, show_status
from pipeline.storage import Address, Metadata, StoredFile


@recorded
class FetchMetadata(luigi.Task):
    """File the minute's photo."""

    timestamp = MinuteParameter()

    def output(self) -> Metadata:
        return settings.store().metadata(self.timestamp)

    def run(self) -> None:
        lookahead.fill_minutes(self.timestamp, settings.store(), settings.unsplash_settings())


@recorded
@requires(FetchMetadata)
class ExtractUrl(luigi.Task):
    """Write down the address of the minute's picture."""

    timestamp: datetime

    def output(self) -> Address:
        return settings.store().address(self.timestamp)

    def run(self) -> None:
        metadata = self.input()
        photo = metadata.photo()
        with settings.store().dropping_if_gone(self.timestamp, photo):
            address = unsplash.address_of(photo, settings.unsplash_settings().size)
        self.output().write(f"{address}\n", only_if=lambda: metadata.read() == photo)


@recorded
@requires(ExtractUrl)
class StoreImage(luigi.Task):
    """Store the minute's picture; drop a photo that cannot be had, so that Luigi has the two tasks before make another."""

    timestamp: datetime

    @classmethod
    def bulk_complete(cls, minutes: Iterable[datetime]) -> list[datetime]:
        """Return the minutes that are complete: what RangeByMinutes asks."""
        return settings.store().complete(minutes)

    def output(self) -> StoredFile:
        return settings.store().picture(self.timestamp)

    def run(self) -> None:
        store, wanted, source = settings.store(), settings.unsplash_settings(), self.input()
        photo, address = store.metadata(self.timestamp).photo(), source.line()
        client = unsplash.client(wanted.answer_seconds)
        with (
            store.dropping_if_gone(self.timestamp, photo),
            self.output().replacing(only_if=lambda: source.read() == address) as file,
        ):
            client.download(address, file)
            picture = jpeg.picture(file)
            with only_said(self, ".error"):
                store.forget_failure(self.timestamp)
        with only_said(self, "page"):
            gallery.publish(store, self.timestamp, picture)
        with only_said(self, "status in luigid"):
            show_status(self, gallery.status_line(photo, picture))
        with only_said(self, "download event"):
            if wanted.report_downloads:
                quota.report_download(store, client, photo["links"]["download_location"], wanted.requests_reserved)
