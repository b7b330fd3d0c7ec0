"""What the lifespan yields and every handler finds in `request.state`."""

from typing import TypedDict

from anyio import CapacityLimiter

from headwater.access import Access, Quotas
from headwater.background import Background
from headwater.config import Config
from headwater.departures import Departures
from headwater.executor import Executor
from headwater.http_client import HttpClient
from headwater.hub import Hub
from headwater.metrics import Metrics
from headwater.providers.catalog import Catalog
from headwater.rooms import Rooms, Talk
from headwater.runs import Runs
from headwater.store.base import Store


class AppState(TypedDict):
    """The parts of one worker, by name; a host that mounts Headwater merges them into its own state."""

    config: Config
    access: Access
    quotas: Quotas
    http: HttpClient
    store: Store
    hub: Hub
    catalog: Catalog
    executor: Executor
    metrics: Metrics
    runs: Runs
    rooms: Rooms
    talk: Talk
    background: Background
    departures: Departures
    page_secret: str
    rendering: CapacityLimiter
    """Of Markdown: one thread at a time, for each would take turns with the event loop."""
