"""The engine for more than one worker: a Redis that all of them reach."""

from headwater.store.redis.store import RedisStore

__all__ = ["RedisStore"]
