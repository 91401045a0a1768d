"""The archive: the files of each minute under one ROOT, on a disk or in a bucket."""

from pipeline.archive.archive import Archive, Failure
from pipeline.archive.names import BANNED, KEPT, hour_name

__all__ = ["BANNED", "KEPT", "Archive", "Failure", "hour_name"]
