"""Health, readiness, metrics and the page."""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from headwater.state import AppState
from headwater.web.render import json_response


async def healthz(request: Request[AppState]) -> Response:
    """`GET /healthz`: the process is alive and its loop turns."""
    return json_response({"status": "ok"})


async def readyz(request: Request[AppState]) -> Response:
    """`GET /readyz`: the store answers and this worker takes runs; else 503."""
    await request.state["runs"].check_ready()
    return json_response({"status": "ready"})


async def metrics(request: Request[AppState]) -> Response:
    """`GET /metrics`: the Prometheus text format."""
    return Response(request.state["metrics"].render(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def page(request: Request[AppState]) -> Response:
    """`GET /`: the smallest page that follows a run."""
    return HTMLResponse(PAGE)


PAGE = files("headwater.web").joinpath("templates", "index.html").read_text(encoding="utf-8")
