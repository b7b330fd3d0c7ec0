"""The engine for more than one worker: a Redis that all of them reach."""

from headwater.store.redis.limits import RedisLimits
from headwater.store.redis.rooms import RedisRooms
from headwater.store.redis.store import RedisStore
from headwater.store.redis.vault import RedisVault

__all__ = ["RedisLimits", "RedisRooms", "RedisStore", "RedisVault"]
