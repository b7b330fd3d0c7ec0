"""How long a live log collects before it writes to its subscribers."""


def flush_window(
    *, subscribers: int, events_per_s: float, writes_per_s: float, window_s: float, busy_s: float
) -> float:
    """Seconds that must lie between two flushes of a log; 0 means flush at once.

    `events_per_s` is the log's own rate, `writes_per_s` what the whole worker wrote to
    subscribers lately.
    """
    if subscribers <= FEW_SUBSCRIBERS and events_per_s <= HUMAN_EVENTS_PER_S:
        return 0.0  # a timer per token would cost more than the writes that it saves
    load = writes_per_s / BUSY_WRITES_PER_S
    return min(max(window_s, window_s * load), max(window_s, busy_s))


# Each write costs some 20 µs of a core: at 20,000 a second four tenths of it are gone.
BUSY_WRITES_PER_S = 20_000
# Faster than anybody reads, by an order of magnitude; every current model is below it.
HUMAN_EVENTS_PER_S = 100
# From here on the writes saved by merging outweigh the timer.
FEW_SUBSCRIBERS = 2
