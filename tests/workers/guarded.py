"""Workers that ask everybody who they are."""

from pathlib import Path
from typing import Any

from headwater.config import Config
from tests.support.keys import add_key
from tests.workers.cluster import Cluster


def guarded(directory: Path, store: str, **settings: Any) -> Cluster:
    """They ask from their start on; their keys are made by `key_of`."""
    return Cluster(directory, store, keys="a-key-of-the-tests", **settings)


def config_of(cluster: Cluster) -> Config:
    """Where their keys are kept."""
    return Config(store=cluster.stores[0], redis_prefix=cluster.prefix)


async def key_of(cluster: Cluster, **fields: Any) -> str:
    """A new key for them."""
    return await add_key(config_of(cluster), **fields)
