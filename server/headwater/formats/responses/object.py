"""The `response` object, after OpenAI's API reference: what a run is to those who know it as a response."""

from collections.abc import Sequence
from typing import Any

from headwater.core.events import End, Failure, Status, Usage
from headwater.core.run import ResponseOptions, RunRequest
from headwater.formats.base import Head
from headwater.formats.openai import response_id
from headwater.formats.responses.tools import format_told, tool_choice_told, tool_told

Json = dict[str, Any]


def response_object(head: Head, status: Status, output: Sequence[Json], end: End | None = None) -> Json:
    """A response as it stands."""
    told: Json = {
        "id": response_id(head.id),
        "object": "response",
        "created_at": int(head.created_at),
        "status": status if end is None else status_told(end),
        "model": head.model,
        "output": output,
        "error": None,
        "incomplete_details": None,
        "usage": None,
    }
    if end is not None:
        told["usage"] = usage_told(end.usage)
        if end.error is not None:
            told["error"] = error_told(end.error)
        if told["status"] == "incomplete":
            told["incomplete_details"] = {"reason": "max_output_tokens" if end.reason == "length" else end.reason}
    return told | _asked(head.request)


def status_told(end: End) -> Status:
    """How a response ended. Where `incomplete` means a limit that was met, what was cut has failed."""
    cut = end.status == "incomplete" and end.reason not in ("length", "content_filter")
    return "failed" if cut else end.status


def error_told(failure: Failure) -> Json:
    """The `error` of a response. Of its codes OpenAI has a list; ours is in `type`."""
    code = "rate_limit_exceeded" if failure.upstream_status == 429 else "server_error"
    return {"code": code, "message": failure.detail, "type": failure.code}


def _asked(request: RunRequest) -> Json:
    """What the request says, again; of any other way to start a run, too."""
    extra = request.extra or {}
    options = request.response or ResponseOptions()
    effort = {"effort": extra.get("reasoning_effort"), "summary": None}
    verbosity = {"verbosity": extra["verbosity"]} if "verbosity" in extra else {}
    return {
        "instructions": request.instructions,
        "metadata": request.metadata or {},
        "previous_response_id": options.previous,
        "background": options.background,
        "store": options.store,
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "parallel_tool_calls": extra.get("parallel_tool_calls", True),
        "tool_choice": "auto" if request.tool_choice is None else tool_choice_told(request.tool_choice),
        "tools": [tool_told(tool) for tool in request.tools or ()],
        "text": {"format": format_told(request.response_format)} | verbosity,
        "reasoning": effort | (options.reasoning or {}),
        "truncation": "disabled",
        "user": extra.get("user"),
        "safety_identifier": extra.get("safety_identifier"),
        "prompt_cache_key": extra.get("prompt_cache_key"),
        "service_tier": extra.get("service_tier"),
    }


def usage_told(usage: Usage | None) -> Json:
    """The `usage` of a response that has ended. `estimated` where the provider did not count."""
    counted = usage or Usage(estimated=True)
    told: Json = {
        "input_tokens": counted.input_tokens,
        "input_tokens_details": {"cached_tokens": counted.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": counted.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning_tokens},
        "total_tokens": counted.input_tokens + counted.output_tokens,
    }
    return told | ({"estimated": True} if counted.estimated else {})
