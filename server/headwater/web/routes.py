"""What lies under which path."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from headwater.core.room import ROOM_NAME
from headwater.state import AppState
from headwater.web import board, ops, pages, rendering, room_http, rooms, runs, tickets
from headwater.web.assets import CLIENT, STATIC, Assets
from headwater.web.guests import Guests, take_name
from headwater.web.openai import chat, models, responses


class RunConvertor(Convertor[str]):
    """A run's id in a path: anything that could be one, so that an unknown one gets a precise answer."""

    regex = "[A-Za-z0-9_-]{1,64}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class ResponseConvertor(RunConvertor):
    """A response's id in a path; what OpenAI has beside them, and there is not here, is none."""

    regex = f"(?!(?:input_tokens|compact)$){RunConvertor.regex}"


class RoomConvertor(RunConvertor):
    """A room's name in a path."""

    regex = ROOM_NAME


register_url_convertor("run", RunConvertor())
register_url_convertor("response", ResponseConvertor())
register_url_convertor("room", RoomConvertor())


def _page(path: str, endpoint: Callable[[Request[AppState]], Awaitable[Response]], method: str = "GET") -> Route:
    """For people with a browser: it knows their name, and no document describes it."""
    return Route(path, endpoint, methods=[method], include_in_schema=False, middleware=[Middleware(Guests)])


# The busiest first: they are looked through in this order.
ROUTES: Final[list[BaseRoute]] = [
    Route("/v1/runs", runs.create_run, methods=["POST"]),
    Route("/v1/runs", runs.list_runs, methods=["GET"]),
    Route("/v1/runs/{run_id:run}", runs.get_run, methods=["GET"]),
    Route("/v1/runs/{run_id:run}", runs.delete_run, methods=["DELETE"]),
    Route("/v1/runs/{run_id:run}/cancel", runs.cancel_run, methods=["POST"]),
    Route("/v1/runs/{run_id:run}/events", runs.run_events, methods=["GET"]),
    Route("/v1/chat/completions", chat.create_completion, methods=["POST"]),
    Route("/v1/responses", responses.create_response, methods=["POST"]),
    Route("/v1/responses/{response_id:response}", responses.get_response, methods=["GET"]),
    Route("/v1/responses/{response_id:response}", responses.delete_response, methods=["DELETE"]),
    Route("/v1/responses/{response_id:response}/cancel", responses.cancel_response, methods=["POST"]),
    Route("/v1/responses/{response_id:response}/input_items", responses.list_input_items, methods=["GET"]),
    Route("/v1/models", models.list_models, methods=["GET"]),
    Route("/v1/models/{model:path}", models.get_model, methods=["GET"]),
    Route("/v1/rooms", room_http.list_rooms, methods=["GET"]),
    Route("/v1/rooms/{room:room}", room_http.get_room, methods=["GET"]),
    Route("/v1/rooms/{room:room}", room_http.put_room, methods=["PUT"]),
    Route("/v1/rooms/{room:room}", room_http.delete_room, methods=["DELETE"]),
    Route("/v1/rooms/{room:room}/messages", room_http.list_messages, methods=["GET"]),
    Route("/v1/rooms/{room:room}/messages", room_http.post_message, methods=["POST"]),
    Route("/v1/rooms/{room:room}/events", room_http.room_events, methods=["GET"]),
    WebSocketRoute("/v1/rooms/{room:room}/ws", rooms.room_socket),
    Route("/v1/tickets", tickets.create_ticket, methods=["POST"]),
    Route("/healthz", ops.healthz),
    Route("/readyz", ops.readyz),
    Route("/metrics", ops.metrics),
    Route("/openapi.json", ops.openapi),
    Route("/board/figures", board.board_figures),
    Route("/markdown", rendering.render_markdown, methods=["POST"]),
    _page("/", pages.playground),
    _page("/runs/{run_id:run}", pages.playground),
    _page("/rooms", pages.rooms),
    _page("/rooms/{room:room}", pages.room),
    _page("/board", pages.board),
    _page("/guest", take_name, "POST"),
    Mount("/static/headwater", Assets(directory=CLIENT, check_dir=False)),
    Mount("/static", Assets(directory=STATIC)),
]
