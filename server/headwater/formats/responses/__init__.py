"""OpenAI's responses, streamed and whole."""

from headwater.formats.responses.encoder import Responses, Resume

__all__ = ["Responses", "Resume"]
