"""A room's socket against whatever can be said on it, with every answer that the room may give, at any pace."""

import json
from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.core.access import Principal
from headwater.core.bucket import Rate
from headwater.core.commands import AnyCommand, Auth, Cancel, Join, Unreadable, read_command
from headwater.core.pushes import Error, Member, Ok
from headwater.core.session import (
    FRAME_BYTES,
    MALFORMED_MAX,
    Action,
    Authenticate,
    Close,
    Enter,
    Perform,
    Send,
    Session,
)
from tests.core.talking import (
    ANNA,
    ANNA_ELSEWHERE,
    BERT,
    NEWER_ANNA,
    NOT_VALID,
    READING_ANNA,
    SHUT_OUT,
    STORE_DOWN,
    UNKNOWN,
    UNREADABLE,
    WRITING,
    frame,
)

RATE = Rate(per_s=2, burst=6)
THOSE_WHO_COME = (ANNA, NEWER_ANNA, READING_ANNA, BERT, ANNA_ELSEWHERE, SHUT_OUT)

answers = st.sampled_from([Ok(), Ok(message="a"), STORE_DOWN, UNKNOWN])
values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
names = st.sampled_from(["since", "token", "name", "text", "client_id", "message", "position", "run", "on", "limit"])
refs = st.none() | st.sampled_from(["1", "2", "a ref"])
ids = st.sampled_from(["a", "b"])
positions = st.sampled_from(["0-0", "4-7", "4", "", "999999999999999-1"])
texts = st.sampled_from(["Hello", "🌊", "x" * 16_000])
tokens = st.sampled_from(["one", "two"])
maybe = st.booleans()

COMMANDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "auth": st.fixed_dictionaries({"token": tokens}),
    "join": st.fixed_dictionaries({}, optional={"since": positions, "name": st.just("Anna"), "token": tokens}),
    "ping": st.fixed_dictionaries({}),
    "message": st.fixed_dictionaries({"client_id": ids, "text": texts}, optional={"reply_to": ids}),
    "edit": st.fixed_dictionaries({"message": ids, "text": texts}),
    "delete": st.fixed_dictionaries({"message": ids}),
    "react": st.fixed_dictionaries({"message": ids, "reaction": st.just("👍")}, optional={"on": maybe}),
    "typing": st.fixed_dictionaries({}, optional={"on": maybe}),
    "read": st.fixed_dictionaries({"position": positions}),
    "cancel": st.fixed_dictionaries({}, optional={"run": ids, "client_id": ids}),
    "history": st.fixed_dictionaries({}, optional={"before": ids, "limit": st.integers(1, 100)}),
}


@st.composite
def commands(draw: st.DrawFn) -> dict[str, Any]:
    """A command as it should be."""
    kind = draw(st.sampled_from(sorted(COMMANDS)))
    ref = draw(refs)
    return {"type": kind, **draw(COMMANDS[kind]), **({} if ref is None else {"ref": ref})}


@st.composite
def near_misses(draw: st.DrawFn) -> str | bytes:
    """A command with one thing wrong, or by chance none."""
    command = draw(commands())
    match draw(st.sampled_from(["without", "with", "cut", "twice", "bytes"])):
        case "without":
            del command[draw(st.sampled_from(sorted(command)))]
        case "with":
            command[draw(names | st.sampled_from(sorted(command)) | st.text(max_size=3))] = draw(values)
        case "cut":
            text = json.dumps(command)
            return text[: draw(st.integers(0, len(text)))]
        case "twice":
            return json.dumps(command) * 2
        case "bytes":
            return json.dumps(command).encode()
    return json.dumps(command)


frames = (
    commands().map(json.dumps)
    | near_misses()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.sampled_from([*UNREADABLE, frame("ping") + " " * FRAME_BYTES])
)


class SessionMachine(RuleBasedStateMachine):
    """Keeps its own account of who is there, who is in, what may be done, and how fast."""

    def __init__(self) -> None:
        super().__init__()
        self.principal: Principal | None = None
        self.member: Member | None = None
        self.asked: Action | None = None
        self.ref: str | None = None
        """Of the command that waits for its answer."""
        self.may_be_silent = False
        self.closed: Close | None = None
        self.unreadable = 0
        self.too_fast = 0
        self.now = Fraction(1_000)
        self.latest = self.now
        self.left = Fraction(RATE.burst)

    @initialize(principal=st.sampled_from([ANNA, READING_ANNA, None]))
    def begin(self, principal: Principal | None) -> None:
        self.principal = principal
        self.session = Session("lobby", principal, rate=RATE)

    # -- frames

    @precondition(lambda self: self.asked is None)
    @rule(text=frames)
    def frame_comes(self, text: str | bytes) -> None:
        self._say(text)

    @precondition(lambda self: self.asked is None and self.principal is None)
    @rule(kind=st.sampled_from(["auth", "join"]), ref=refs)
    def token_comes(self, kind: str, ref: str | None) -> None:
        self._say(frame(kind, token="one", ref=ref))

    @precondition(lambda self: self.asked is None and self.principal is not None)
    @rule(ref=refs)
    def somebody_comes_in(self, ref: str | None) -> None:
        self.time_passes(Fraction(1))
        self._say(frame("join", ref=ref))
        if isinstance(self.asked, Enter):
            self.room_is_entered(None)

    @precondition(lambda self: self.asked is None and self.principal is not None)
    @rule(command=commands(), is_patient=maybe)
    def command_comes(self, command: dict[str, Any], is_patient: bool) -> None:
        if is_patient:
            self.time_passes(Fraction(1))
        self._say(json.dumps(command))

    @precondition(lambda self: self.asked is None and self.member is not None)
    @rule(command=commands(), answer=answers)
    def command_is_carried_out(self, command: dict[str, Any], answer: Any) -> None:
        self.command_comes(command, True)
        if isinstance(self.asked, Perform):
            self.command_is_performed(answer)

    @precondition(lambda self: self.asked is None and self.principal is not None)
    @rule(text=st.sampled_from([*UNREADABLE, frame("ping")]), times=st.integers(2, 12), is_patient=maybe)
    def the_same_comes_many_times(self, text: str | bytes, times: int, is_patient: bool) -> None:
        for _ in range(times):
            self.time_passes(Fraction(is_patient))
            self._say(text)

    def _say(self, text: str | bytes) -> None:
        command = read_command(text)
        is_known = self.principal is not None
        self.ref, self.may_be_silent = command.ref, False
        actions = self.session.receive(text, float(self.now))
        if self.closed is not None:
            assert actions == []
            return
        (action,) = actions
        expected = self._expected(text, command, is_known)
        self._look_at(action)
        if isinstance(expected, int):
            assert isinstance(action, Close) and action.code == expected
        elif isinstance(expected, str):
            assert isinstance(action, Send) and isinstance(action.push, Error) and action.push.code == expected
        else:
            bears_token = isinstance(command, Auth | Join) and command.token is not None
            assert not isinstance(action, Close) and isinstance(action, Authenticate) == bears_token

    def _expected(self, text: str | bytes, command: AnyCommand | Unreadable, is_known: bool) -> int | str | None:
        """The code of a close or of an error, where it comes before anything that the command says."""
        bears_token = isinstance(command, Auth | Join) and command.token is not None
        if len(text) > FRAME_BYTES:
            return 1009
        if not is_known and not bears_token:
            return 4401
        if not self._take():
            self.too_fast += 1
            return "too_fast" if self.too_fast < RATE.burst else 4429
        self.too_fast = 0
        if isinstance(command, Unreadable):
            self.unreadable += 1
            return command.code if self.unreadable < MALFORMED_MAX else 4400
        self.unreadable = 0
        return None

    def _take(self) -> bool:
        """What the bucket should say, in exact numbers."""
        self.left = min(Fraction(RATE.burst), self.left + max(Fraction(0), self.now - self.latest) * int(RATE.per_s))
        self.latest = max(self.latest, self.now)
        taken = self.left >= 1
        self.left -= taken
        return taken

    # -- answers

    @precondition(lambda self: isinstance(self.asked, Authenticate))
    @rule(
        whose=st.sampled_from([ANNA, NEWER_ANNA, READING_ANNA, BERT, ANNA_ELSEWHERE, SHUT_OUT, NOT_VALID, STORE_DOWN])
    )
    def token_is_looked_at(self, whose: Any) -> None:
        self.asked = None
        if not isinstance(whose, Principal):
            self._hear(self.session.refused(whose))
            return
        is_taken = whose.role_in("lobby") is not None and (self.principal is None or self.principal.id == whose.id)
        if is_taken and self.closed is None:
            self.principal = whose
        self._hear(self.session.authenticated(whose))

    @precondition(lambda self: isinstance(self.asked, Enter))
    @rule(refusal=st.sampled_from([None, STORE_DOWN, UNKNOWN]))
    def room_is_entered(self, refusal: Any) -> None:
        asked, self.asked = self.asked, None
        assert isinstance(asked, Enter) and (self.closed or asked.ref == self.ref)
        if refusal is not None:
            self._hear(self.session.not_entered(refusal))
            return
        self.session.entered()
        if self.closed is None:
            self.member = asked.member

    @precondition(lambda self: isinstance(self.asked, Perform))
    @rule(answer=answers)
    def command_is_performed(self, answer: Any) -> None:
        self.asked = None
        if not isinstance(answer, Ok):
            self._hear(self.session.failed(answer))
        elif self.may_be_silent and self.closed is None:
            assert self.session.performed(answer) == []
        else:
            self._hear(self.session.performed(answer))

    # -- what else happens

    @rule(passed=st.sampled_from([Fraction(0), Fraction(1, 8), Fraction(1), Fraction(10**6), Fraction(-3, 4)]))
    def time_passes(self, passed: Fraction) -> None:
        self.now += passed

    @rule(how=st.sampled_from(["late", "over", "too_slow", "lost", "going_away", "crashed"]), really=st.integers(0, 9))
    def it_ends(self, how: str, really: int) -> None:
        if really == 0:
            self._look_at(getattr(self.session, how)())

    # -- what is always so

    def _hear(self, actions: list[Action]) -> None:
        """The answer that was waited for."""
        if self.closed is not None:
            assert actions == []
            return
        (action,) = actions
        self._look_at(action)

    def _look_at(self, action: Action) -> None:
        match action:
            case Close():
                assert self.closed in (None, action), "the first reason stands"
                self.closed = action
                return
            case Send():
                assert isinstance(action.push, Ok | Error) and action.push.ref == self.ref
            case Authenticate():
                pass
            case Enter():
                assert self.member is None and self.principal is not None
            case Perform(command):
                assert self.member is not None and self.principal is not None
                assert self.principal.role_in("lobby") == "write" or command.__struct_config__.tag not in WRITING
                assert not isinstance(command, Cancel) or (command.run is None) != (command.client_id is None)
                assert command.ref == self.ref
                self.may_be_silent = self.ref is None and command.__struct_config__.tag in ("typing", "read")
        assert self.closed is None, "nothing comes after the end"
        self.asked = None if isinstance(action, Send | Close) else action

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "session"):
            return
        assert self.session.principal is self.principal
        assert self.session.member is self.member
        assert self.session.inside == (self.member is not None)
        assert self.session.closed == (self.closed is not None)


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
