"""What is said on a room's socket, and by whom."""

import json
from typing import Any

from headwater.core.access import Principal
from headwater.core.bucket import Rate
from headwater.core.pushes import Error
from headwater.core.session import REASON_BYTES, Action, Authenticate, Close, Enter, Refusal, Send, Session

ANNA = Principal(tenant="acme", subject="user:anna", scopes=frozenset({"rooms:write"}))
NEWER_ANNA = Principal(tenant="acme", subject="user:anna", scopes=frozenset({"rooms:write"}), expires_at=2e9)
READING_ANNA = Principal(tenant="acme", subject="user:anna", scopes=frozenset({"rooms:read"}))
SHUT_OUT = Principal(tenant="acme", subject="user:anna", scopes=frozenset({"rooms:write"}), rooms={"attic": "write"})
BERT = Principal(tenant="acme", subject="user:bert", scopes=frozenset({"rooms:write"}))
ANNA_ELSEWHERE = Principal(tenant="other", subject="user:anna", scopes=frozenset({"rooms:write"}))

NOT_VALID = Refusal("unauthenticated", "The credential is not valid.", 4401)
STORE_DOWN = Refusal("store_unavailable", "The store does not answer.", 1013, retryable=True)
UNKNOWN = Refusal("unknown_message", "There is no such message.", 4400)

UNREADABLE = ("", "{", "[]", "null", "7", '"auth"', "{}", '{"type":3}', '{"type":"dance"}', b'{"type":"ping"}')

CALM = Rate(per_s=1, burst=1_000)
"""Nobody in a test is too fast."""

# What each command needs, and one of what it may have.
WATCHING: dict[str, dict[str, Any]] = {
    "read": {"position": "4-7"},
    "history": {"before": "msg_1", "limit": 10},
}
WRITING: dict[str, dict[str, Any]] = {
    "message": {"client_id": "c1", "text": "Hello", "mentions": ["demo"]},
    "edit": {"message": "msg_1", "text": "Hello!"},
    "delete": {"message": "msg_1"},
    "react": {"message": "msg_1", "reaction": "👍"},
    "typing": {"on": True},
    "cancel": {"client_id": "c1"},
}
IN_THE_ROOM = WATCHING | WRITING


def frame(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def session(principal: Principal | None = ANNA, rate: Rate = CALM) -> Session:
    return Session("lobby", principal, rate=rate)


def inside(principal: Principal = ANNA, rate: Rate = CALM) -> Session:
    """A session that has joined."""
    joined = session(principal, rate)
    assert isinstance(only(joined.receive(frame("join", name="Anna"), 0)), Enter)
    joined.entered()
    return joined


def asked() -> Session:
    """A session that waits for the answer about its first token."""
    waiting = session(None)
    assert waiting.receive(frame("auth", token="one", ref="1"), 0) == [Authenticate("one")]
    return waiting


def refreshing(waiting: Session, command: str = "auth") -> Session:
    """The session, waiting for the answer about another token."""
    assert waiting.receive(frame(command, token="two", ref="2"), 0) == [Authenticate("two")]
    return waiting


def only(actions: list[Action]) -> Action:
    (action,) = actions
    return action


def error(actions: list[Action]) -> Error:
    action = only(actions)
    assert isinstance(action, Send) and isinstance(action.push, Error), action
    return action.push


def close(actions: list[Action]) -> int:
    action = only(actions)
    assert isinstance(action, Close), action
    assert 0 < len(action.reason.encode()) <= REASON_BYTES
    return action.code
