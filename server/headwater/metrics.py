"""Counters and histograms of one worker, in a registry of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# OpenTelemetry's GenAI conventions name these boundaries for a server's first token, in seconds.
_FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class Metrics:
    """Everything that `/metrics` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.runs_started = Counter(
            "headwater_runs_started", "Runs whose production began here.", ["model"], registry=self.registry
        )
        self.runs_ended = Counter(
            "headwater_runs_ended", "Runs ended here.", ["model", "status", "reason"], registry=self.registry
        )
        self.runs_producing = Gauge("headwater_runs_producing", "Runs in production here.", registry=self.registry)
        self.tokens = Counter(
            "headwater_tokens", "Tokens as providers counted them.", ["model", "type"], registry=self.registry
        )
        self.first_token_s = Histogram(
            "headwater_first_token_seconds",
            "From taking a run to its first delta.",
            ["model"],
            buckets=_FIRST_TOKEN_S,
            registry=self.registry,
        )
        self.attempts = Counter(
            "headwater_attempts",
            "Second and later attempts begun here, and runs handed over.",
            ["model", "reason", "how"],
            registry=self.registry,
        )
        self.breakers_opened = Counter(
            "headwater_breakers_opened",
            "Times that a model failed so often that its fallbacks are asked first.",
            ["model"],
            registry=self.registry,
        )
        self.commits = Histogram(
            "headwater_commit_seconds", "Group commits.", buckets=_COMMIT_S, registry=self.registry
        )
        self.appends = Counter("headwater_appends", "Entries appended.", registry=self.registry)
        self.events = Counter("headwater_events", "Events stored: tokens, as they come.", registry=self.registry)
        self.store_failures = Counter(
            "headwater_store_failures", "Requests that the store did not answer.", registry=self.registry
        )
        self.subscribers = Gauge("headwater_subscribers", "Connections that follow a log.", registry=self.registry)
        self.subscribers_let_go = Counter(
            "headwater_subscribers_let_go", "Connections closed by the server.", ["reason"], registry=self.registry
        )
        self.refills = Counter(
            "headwater_refills", "Times that a live log was filled up from the store.", registry=self.registry
        )
        self.room_members = Gauge(
            "headwater_room_members", "Connections that have joined a room here.", registry=self.registry
        )
        self.room_events = Counter(
            "headwater_room_events", "What entered rooms' logs from here.", ["type"], registry=self.registry
        )
        self.snapshots = Counter("headwater_snapshots", "Snapshots read from the store.", registry=self.registry)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
