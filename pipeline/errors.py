"""What can be wrong with the world, and what follows: another try, the end of the run, or another photo.

Every error of this project is one line for a person. The three classes at the top decide what a minute may try again; Luigi
does the trying (see `[scheduler]` in luigi.cfg). A catch-up goes on past NameTaken, and QuotaExceeded where a photo is filed.
"""

MAX_LINE_LENGTH = 500


def line(text: str, length: int = MAX_LINE_LENGTH) -> str:
    """Return the text as one line for a person: without control characters, and no longer than is read."""
    shown = "".join(filter(str.isprintable, " ".join(text[: 20 * length].split())))
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


class PipelineError(Exception):
    """Say what is wrong in one line."""

    def __str__(self) -> str:
        return line(super().__str__())


class MayPass(PipelineError):
    """Wrong for now: Luigi tries the task again."""


class EndsRun(PipelineError):
    """Wrong for every task of the run, and another try cannot help."""


class PhotoGone(PipelineError):
    """This photo cannot be had: another one takes its place."""


class BadSettings(EndsRun):
    """luigi.cfg, the command line or the environment says what cannot be done."""


class InvalidKey(EndsRun):
    """There is no key, or it is none that the API takes."""


class QuotaExceeded(EndsRun):
    """The key's requests of this hour are used up."""


class RequestRefused(EndsRun):
    """The API understood the request and will not answer it."""


class NoPhotos(EndsRun):
    """Nothing matches the topic."""


class RootUnusable(EndsRun):
    """Nothing can be stored under ROOT."""


class NameTaken(EndsRun):
    """Something else has the name of a minute's file or folder; other minutes can be stored."""


class NothingStored(PipelineError):
    """There is no such picture."""


class Unavailable(MayPass):
    """No answer came, or one that says that the service is in trouble."""


class BadAnswer(MayPass):
    """An answer came that is not what the API promises."""


class StorageFailed(MayPass):
    """A file could not be read or written."""


class PhotoReplaced(MayPass):
    """Another run gave the minute another photo meanwhile."""

    def __init__(self, reason: str = "another run gave the minute another photo meanwhile") -> None:
        super().__init__(reason)


class BadJpeg(PhotoGone):
    """The bytes are not one whole JPEG."""
