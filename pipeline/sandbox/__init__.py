"""A stand-in for the Unsplash API and its picture host.

`Sandbox.answer` takes a request's target and headers and returns what the service would send, as far as is known. DEMO_KEY
calls it in the same process, without a socket; `Server` puts it behind a real port. Nothing is stored: an 11-character photo
id determines the whole photo, its drawing included, so any process can serve any photo.
"""

from pipeline.sandbox.api import ORIGIN, UNMATCHED_QUERY, WRONG_KEY, Answer, Sandbox
from pipeline.sandbox.photos import Sample, drawing, random_id
from pipeline.sandbox.server import Adapter, Server

__all__ = ["ORIGIN", "UNMATCHED_QUERY", "WRONG_KEY", "Adapter", "Answer", "Sample", "Sandbox", "Server", "drawing", "random_id"]
