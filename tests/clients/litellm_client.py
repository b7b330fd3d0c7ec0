"""LiteLLM's SDK as its users write it, in an environment of its own: see litellm.txt.

Says on stdout, as JSON, what came of each case; judges nothing.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else the import fetches it from afar

import litellm

BASE_URL, KEY, TOOL = os.environ["BASE_URL"], os.environ["KEY"], json.loads(os.environ["TOOL"])
ABOUT: dict[str, Any] = {"api_base": BASE_URL, "api_key": KEY, "num_retries": 0, "max_retries": 0}
MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": TOOL}]
FLAT_TOOLS = [{"type": "function", "strict": False, **TOOL}]
STREAMING = ("wild", "tools", "quiet")  # of a model that it does not know, it streams no response


def completion(model: str, **options: Any) -> Any:
    return litellm.completion(model=f"openai/{model}", messages=MESSAGES, **ABOUT, **options)


def responses(model: str, **options: Any) -> Any:
    return litellm.responses(model=f"openai/{model}", input="hello", **ABOUT, **options)


def streamed(model: str, **options: Any) -> Any:
    """A streamed completion, put together by what the SDK has for it."""
    chunks = list(completion(model, stream=True, stream_options={"include_usage": True}, **options))
    whole = litellm.stream_chunk_builder(chunks, messages=MESSAGES)
    return about(whole) | {"chunks": len(chunks)}


def about(whole: Any) -> dict[str, Any]:
    (choice,) = whole.choices
    return {
        "text": choice.message.content,
        "reasoning": getattr(choice.message, "reasoning_content", None),
        "finish": choice.finish_reason,
        "calls": [(one.id, one.function.name, one.function.arguments) for one in choice.message.tool_calls or []],
        "usage": whole.usage.model_dump(),
        "headers": getattr(whole, "_hidden_params", {}).get("additional_headers", {}),
    }


def response_stream(model: str, **options: Any) -> dict[str, Any]:
    text, kinds, final = "", [], None
    for event in responses(model, stream=True, **options):
        kinds.append(str(getattr(event.type, "value", event.type)))
        text += event.delta if kinds[-1] == "response.output_text.delta" else ""
        final = getattr(event, "response", final)
    return {"text": text, "kinds": kinds, "output": output_of(final)}


def output_of(response: Any) -> list[dict[str, Any]]:
    return [item if isinstance(item, dict) else item.model_dump() for item in response.output]


def response_whole(model: str, **options: Any) -> dict[str, Any]:
    whole = responses(model, **options)
    return {"text": whole.output_text, "status": whole.status, "output": output_of(whole)}


def stranger() -> Any:
    return litellm.completion(
        model="openai/demo", messages=MESSAGES, api_base=BASE_URL, api_key="no-key-of-theirs", max_retries=0
    )


CASES: dict[str, Callable[[], Any]] = {
    "chat_stream": lambda: streamed("wild"),
    "chat_tools": lambda: streamed("tools", tools=TOOLS),
    "chat_reasoning": lambda: streamed("reasoning"),
    "chat_quiet": lambda: streamed("quiet"),
    "chat_whole": lambda: about(completion("wild")),
    "response_whole": lambda: response_whole("wild"),
    "response_tools": lambda: response_whole("tools", tools=FLAT_TOOLS),
    "response_stream": lambda: response_stream("wild"),
    "response_stream_tools": lambda: response_stream("tools", tools=FLAT_TOOLS),
    "response_quiet": lambda: response_stream("quiet"),
    "picky": lambda: completion("picky"),
    "busy": lambda: completion("busy", stream=True),
    "down": lambda: completion("down"),
    "unknown": lambda: completion("no-such-model"),
    "stranger": stranger,
    "spoiled": lambda: streamed("spoiled"),
    "response_picky": lambda: responses("picky"),
}

LONG = ("chat_quiet", "response_quiet")  # these wait for more than a second


def outcome(case: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": case()}
    except Exception as error:
        status = getattr(error, "status_code", None)
        return {"error": {"name": type(error).__name__, "status": status, "message": str(error)}}


def main(cases: Sequence[str]) -> None:
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    known: dict[str, Any] = {"litellm_provider": "openai", "mode": "chat", "supports_native_streaming": True}
    known |= {"input_cost_per_token": 0, "output_cost_per_token": 0}
    litellm.register_model(dict.fromkeys(STREAMING, known))
    names = list(cases or CASES)
    outcomes = {name: outcome(CASES[name]) for name in names if name not in LONG}
    with ThreadPoolExecutor(len(LONG)) as pool:
        waiting = {name: pool.submit(outcome, CASES[name]) for name in names if name in LONG}
        outcomes |= {name: future.result() for name, future in waiting.items()}
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
