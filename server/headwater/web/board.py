"""What the board shows of the worker that is asked: its metrics, as numbers."""

from collections.abc import Iterator

from msgspec import Struct
from prometheus_client.samples import Sample
from starlette.requests import Request
from starlette.responses import Response

from headwater.metrics import Metrics
from headwater.state import AppState
from headwater.web.operation import Answer, operation
from headwater.web.render import json_response


class ModelFigures(Struct, frozen=True, kw_only=True):
    """What one model has done here since the worker started. `ended` is by status."""

    model: str
    started: int
    ended: dict[str, int]
    output_tokens: int


class Figures(Struct, frozen=True, kw_only=True):
    """One look at a worker. Counts are since its start, so that two looks give a rate.

    `events` are what runs' logs got, a token each or nearly so; what providers count is known only at a run's end.
    `first_token` is the histogram of seconds to a first token: how many took at most so long, by the bound.
    """

    worker: str
    runs: int
    subscribers: int
    room_members: int
    events: int
    first_token: list[tuple[float, int]]
    models: list[ModelFigures]


EXAMPLE = Figures(
    worker="worker_1f2e3d4c",
    runs=1,
    subscribers=2,
    room_members=0,
    events=1200,
    first_token=[(0.01, 3), (0.02, 4)],
    models=[ModelFigures(model="demo", started=4, ended={"completed": 3}, output_tokens=420)],
)


@operation("admin", Answer(description="The figures of the worker that answers.", example=EXAMPLE))
async def board_figures(request: Request[AppState]) -> Response:
    """`GET /board/figures`: what the board draws."""
    state = request.state
    return json_response(figures(state["metrics"], state["executor"].worker), headers={"Cache-Control": "no-store"})


def figures(metrics: Metrics, worker: str) -> Figures:
    """The metrics of a worker, as the board needs them."""
    samples = [sample for metric in metrics.registry.collect() for sample in metric.samples]
    return Figures(
        worker=worker,
        runs=_total(samples, "headwater_runs_producing"),
        subscribers=_total(samples, "headwater_subscribers"),
        room_members=_total(samples, "headwater_room_members"),
        events=_total(samples, "headwater_events_total"),
        first_token=_histogram(samples, "headwater_first_token_seconds_bucket"),
        models=list(_models(samples)),
    )


def _total(samples: list[Sample], name: str) -> int:
    return round(sum(sample.value for sample in samples if sample.name == name))


def _histogram(samples: list[Sample], name: str) -> list[tuple[float, int]]:
    """The buckets of all models together; the last one's bound is no number of JSON's, and is left out."""
    counts: dict[float, float] = {}
    for sample in samples:
        if sample.name == name and sample.labels["le"] != "+Inf":
            bound = float(sample.labels["le"])
            counts[bound] = counts.get(bound, 0) + sample.value
    return [(bound, round(count)) for bound, count in sorted(counts.items())]


def _models(samples: list[Sample]) -> Iterator[ModelFigures]:
    named = [sample for sample in samples if "model" in sample.labels]
    for model in sorted({sample.labels["model"] for sample in named}):
        own = [sample for sample in named if sample.labels["model"] == model]
        ended: dict[str, int] = {}
        for sample in own:
            if sample.name == "headwater_runs_ended_total":
                status = sample.labels["status"]
                ended[status] = ended.get(status, 0) + round(sample.value)
        output = [sample for sample in own if sample.labels.get("type") == "output"]
        yield ModelFigures(
            model=model,
            started=_total(own, "headwater_runs_started_total"),
            ended=ended,
            output_tokens=_total(output, "headwater_tokens_total"),
        )
