"""A picture a minute, in three tasks.

FetchMetadata asks Unsplash for photos of the minute's topic, and files one under its minute and one under each of the topic's
next minutes that have none. ExtractUrl writes down where the picture of the minute's photo is. StoreImage stores it, if it is
one whole JPEG. A minute whose picture is stored is complete: no run asks for it again. What each does is in `steps`.
"""

from collections.abc import Iterable
from datetime import datetime

import luigi
from luigi.util import requires

from pipeline import settings, steps
from pipeline.minutes import MinuteParameter
from pipeline.outcomes import LoggedTask, log_and_raise, show


class FetchMetadata(LoggedTask):
    """File the minute's photo."""

    timestamp = MinuteParameter()

    def output(self) -> luigi.Target:
        return settings.archive().metadata_target(self.timestamp, settings.unsplash_settings().topics)

    def run(self) -> None:
        steps.fetch_metadata(self.timestamp, settings.archive(), settings.unsplash_settings())


@requires(FetchMetadata)
class ExtractUrl(LoggedTask):
    """Write down the address of the minute's picture."""

    timestamp: datetime

    def output(self) -> luigi.Target:
        return settings.archive().address_target(self.timestamp)

    def run(self) -> None:
        steps.extract_url(self.timestamp, settings.archive(), settings.unsplash_settings())


@requires(ExtractUrl)
class StoreImage(LoggedTask):
    """Store the minute's picture; drop a photo that cannot be had, so that Luigi has the two tasks before make another."""

    timestamp: datetime

    @classmethod
    def bulk_complete(cls, minutes: Iterable[datetime]) -> list[datetime]:
        """Return the minutes that RangeByMinutes leaves alone: they are complete, or later than now."""
        with log_and_raise("StoreImage"):
            return settings.archive().complete(minutes)

    def output(self) -> luigi.Target:
        return settings.archive().picture_target(self.timestamp)

    def run(self) -> None:
        show(self, *steps.store_image(self.timestamp, settings.archive(), settings.unsplash_settings()))
