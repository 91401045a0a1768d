"""The archive: the files of each minute under one ROOT, on a disk or in a bucket."""

from pipeline.archive.archive import Archive, Failure
from pipeline.archive.names import BANNED, KEPT, days_of, hour_name

__all__ = ["BANNED", "KEPT", "Archive", "Failure", "days_of", "hour_name"]
