"""Producing runs: lease, provider, append, renew, heal."""

from headwater.executor.executor import Executor

__all__ = ["Executor"]
