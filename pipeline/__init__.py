"""A picture a minute from Unsplash, stored by three Luigi tasks: `luigi --module pipeline StoreImage`."""

from pipeline import configuration

# Done at import, as nothing else is: `luigi` takes its exit codes from the configuration next, and there is no later hook.
configuration.read()

from pipeline.tasks import ExtractUrl, FetchMetadata, StoreImage  # noqa: E402

__all__ = ["ExtractUrl", "FetchMetadata", "StoreImage"]
