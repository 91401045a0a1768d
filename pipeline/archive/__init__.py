"""The archive: the files of each minute under one ROOT, on a disk or in a bucket."""

from pipeline.archive.archive import Archive, Failure, QuotaReading
from pipeline.archive.names import hour_name

__all__ = ["Archive", "Failure", "QuotaReading", "hour_name"]
