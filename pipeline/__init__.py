"""A picture a minute from Unsplash, stored by three Luigi tasks: `luigi --module pipeline StoreImage`."""

from pipeline.tasks import ExtractUrl, FetchMetadata, StoreImage

__all__ = ["ExtractUrl", "FetchMetadata", "StoreImage"]
