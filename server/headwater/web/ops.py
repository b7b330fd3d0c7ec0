"""Health, readiness, metrics, and the document that describes all routes."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.state import AppState
from headwater.web import examples
from headwater.web.openapi import Document
from headwater.web.operation import Answer, operation
from headwater.web.render import json_response
from headwater.web.shapes import Health, Readiness

_METRICS = """# HELP headwater_runs_started_total Runs started.
# TYPE headwater_runs_started_total counter
headwater_runs_started_total{model="demo"} 3.0
"""


@operation(None, Answer(description="It lives.", example=Health("ok")))
async def healthz(request: Request[AppState]) -> Response:
    """`GET /healthz`: the process is alive and its loop turns."""
    return json_response(Health("ok"))


@operation(
    None,
    Answer(description="Send it requests.", example=Readiness("ready")),
    errors=(examples.DRAINING, examples.STORE_AWAY),
)
async def readyz(request: Request[AppState]) -> Response:
    """`GET /readyz`: the store answers and this worker takes runs; else 503."""
    await request.state["runs"].check_ready()
    return json_response(Readiness("ready"))


@operation("admin", Answer(description="Samples.", media_type="text/plain", example=_METRICS))
async def metrics(request: Request[AppState]) -> Response:
    """`GET /metrics`: the Prometheus text format."""
    return Response(request.state["metrics"].render(), media_type="text/plain; version=0.0.4; charset=utf-8")


@operation(None, Answer(description="OpenAPI 3.1.", example={"openapi": "3.1.0", "paths": {}}))
async def openapi(request: Request[AppState]) -> Response:
    """`GET /openapi.json`: this document."""
    state = request.app.state  # made of what does not change as long as the app lives, so it is made once
    if not hasattr(state, "openapi"):
        state.openapi = Document().get_schema(request.app.routes)
    document: dict[str, Any] = state.openapi
    root = request.scope.get("root_path", "").rstrip("/")
    return json_response(document | {"servers": [{"url": root or "/"}]})
