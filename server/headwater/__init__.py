"""Headwater: start an answer once, stream it durably, follow and resume it from anywhere."""

from headwater.app import create_app, lifespan
from headwater.config import Config
from headwater.version import VERSION as __version__

__all__ = ["Config", "__version__", "create_app", "lifespan"]
