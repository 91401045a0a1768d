"""The Unsplash API and its pictures, over HTTP."""

from pipeline.unsplash.answers import SIZES, Photo, Quota, address_of, credit, is_of_unsplash_plus
from pipeline.unsplash.api import API_URL, MAX_PICTURE_BYTES, Unsplash, client
from pipeline.unsplash.key import DEMO_KEY, api_key, environment_value, is_demo

__all__ = ["API_URL", "DEMO_KEY", "MAX_PICTURE_BYTES", "SIZES", "Photo", "Quota", "Unsplash", "address_of", "api_key", "client"]
__all__ += ["credit", "environment_value", "is_demo", "is_of_unsplash_plus"]
