"""What of a transcript a client's user does, and what the client does by itself."""

from typing import Any

from tests.transcripts.transcript import Line

Act = dict[str, Any]
"""`{"create": body}` a run, `{"watch": run, "after": position}`, `{"cancel": run}`; `{"join": room, "name": …}`, or any
other command of a room as it is sent, but without a ref: `{"command": {"type": …}}`."""


def act_of(lines: list[Line], number: int) -> Act | None:
    """What the client's user does in this line; None where the client does it by itself, or another does it."""
    match lines[number]:
        case {"at": "client", "asks": {"method": "POST", "path": "/v1/runs", "body": body}}:
            return {"create": body}
        case {"at": "client", "asks": {"method": "POST", "path": path}}:
            return {"cancel": path.split("/")[-2]}
        case {"at": "client", "asks": {"path": path, "headers": headers}} if not _is_left(lines, number):
            return {"watch": path.split("/")[-2], "after": headers.get("Last-Event-ID")}
        case {"at": "client", "opens": path} if not any("opens" in line for line in lines[:number]):
            return {"join": path.split("/")[-2], "name": lines[number + 1]["says"]["name"]}
        case {"at": "client", "says": command} if not _is_repeated(lines, number):
            return {"command": {name: value for name, value in command.items() if name != "ref"}}
    return None


def _is_left(lines: list[Line], number: int) -> bool:
    """Whether an earlier stream was not told to its end: the client comes back to it by itself."""
    streams = [line["on"] for line in lines[:number] if line.get("asks", {}).get("path", "").endswith("/events")]
    ends = [line for line in lines[:number] if line.get("writes", {}).get("event") == "end"]
    return bool(streams) and not ends


def _is_repeated(lines: list[Line], number: int) -> bool:
    command = lines[number]["says"]
    own = command.get("client_id")
    before = [line["says"].get("client_id") for line in lines[:number] if line["at"] == "client" and "says" in line]
    return command["type"] == "join" or (own is not None and own in before)


def next_command(lines: list[Line], number: int) -> int:
    """The number of the client's next command after this one."""
    return next(at for at in range(number + 1, len(lines)) if lines[at]["at"] == "client" and "says" in lines[at])
