"""What happens in each scene, but for what the server says. A scene waits where the next to act would have waited."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tests.transcripts.rehearsal import STREAM, Rehearsal
from tests.transcripts.stage import MODEL

# -- runs


async def a_whole_run(play: Rehearsal) -> None:
    await play.starts("How do I resume a stream?")
    await play.follows()
    await play.says(
        {"reasoning": "Hm. "}, {"text": "To resume "}, "a stream,\nsend ", "its last id: 日本語 👩‍🚀 \u2028"
    )
    call = {"index": 0, "id": "call_1", "name": "weather", "arguments": '{"ci'}
    await play.says({"tool_call": call}, {"tool_call": {"index": 0, "arguments": 'ty": "Łódź"}'}})
    await play.does("model", finishes="stop")
    await play.is_over()


async def a_snapshot_then_live(play: Rehearsal) -> None:
    await play.starts("Who comes late?")
    await play.does("model", says=[{"reasoning": "Hm. "}, "One ", "two ", "three "])
    await play.follows()
    await play.wrote("snapshot")
    await play.says("four ", "five.")
    await play.does("model", finishes="stop")
    await play.is_over()


async def resumed_after_a_cut(play: Rehearsal) -> None:
    await play.starts("What if the line breaks?")
    on = await play.follows()
    await play.says("Before ", "the cut, ")
    await play.does("network", on=on, cuts=True)
    await play.does("model", says=["meanwhile, "])
    await play.follows(play.last_id)
    await play.wrote("delta")
    await play.says("and after.")
    await play.does("model", finishes="stop")
    await play.is_over()


async def an_attempt_restarted(play: Rehearsal) -> None:
    await play.does("elsewhere", starts=True)
    await play.follows()
    await play.does("elsewhere", writes=[{"text": "What was "}, {"text": "withdrawn."}])
    await play.wrote("delta")
    await play.does("elsewhere", writes=[{"attempt": {"number": 2, "reason": "takeover", "how": "restarted"}}])
    await play.wrote("attempt")
    await play.does("elsewhere", writes=[{"text": "What "}])
    await play.wrote("delta", times=2)
    another = {"number": 3, "reason": "failover", "how": "continued", "model": "backup"}
    await play.does("elsewhere", writes=[{"attempt": another}])
    await play.wrote("attempt", times=2)
    await play.does("elsewhere", writes=[{"text": "stands."}])
    await play.wrote("delta", times=3)
    await play.does("elsewhere", writes=[{"end": {"status": "completed", "finish_reason": "stop"}}])
    await play.is_over()


async def a_failed_end(play: Rehearsal) -> None:
    await play.starts("What if the model is down?")
    await play.follows()
    await play.does("model", breaks=["upstream_unreachable", "No connection to the model's server."])
    await play.is_over()


async def an_incomplete_end(play: Rehearsal) -> None:
    await play.starts("What if the model's line breaks?")
    await play.follows()
    await play.says("It is said ")
    await play.does("model", breaks=["upstream_cut", "The connection to the model broke."])
    await play.is_over()


async def a_cancelled_end(play: Rehearsal) -> None:
    await play.starts("May I stop you?")
    on = await play.follows()
    await play.says("You may, ", "at any ")
    await play.asks("POST", "/v1/runs/run_1/cancel")
    await play.hears(lambda line: "answers" in line, "it is cancelled")
    await play.is_over(on)


async def nothing_left(play: Rehearsal) -> None:
    await play.starts("What comes after the end?")
    await play.follows()
    await play.says("Nothing.")
    await play.does("model", finishes="stop")
    await play.is_over()
    await play.asks("GET", "/v1/runs/run_1/events", headers=STREAM | {"Last-Event-ID": play.last_id})
    await play.hears(lambda line: "answers" in line, "there is nothing left")


async def a_passing_refusal(play: Rehearsal) -> None:
    await play.starts("What if there is no room?")
    await play.does("crowd", follows="/v1/runs/run_1/events")
    await play.asks("GET", "/v1/runs/run_1/events", headers=STREAM)
    await play.is_over()
    await play.does("crowd", goes=True)
    await play.follows()
    await play.says("Come ", "back.")
    await play.does("model", finishes="stop")
    await play.is_over()


# -- rooms


async def talking(play: Rehearsal) -> None:
    await play.enters()
    await play.does("bert", enters="/v1/rooms/lobby/ws")
    await play.talks("c-1", "Hello, 日本語 👩‍🚀!")
    await play.does("bert", says={"type": "typing"})
    await play.pushed("typing")
    await play.does("bert", says={"type": "message", "client_id": "b-1", "text": "Hello, Ann.", "reply_to": "msg_1"})
    await play.pushed("message", times=2)
    await play.pushed("typing", times=2)
    await play.commands("edit", message="msg_1", text="Hello, Bert!")
    await play.pushed("edited")
    await play.commands("react", message="msg_2", reaction="👍")
    await play.pushed("reacted")
    await play.does("bert", says={"type": "react", "message": "msg_2", "reaction": "👍"})
    await play.pushed("reacted", times=2)
    await play.commands("react", message="msg_2", reaction="👍", on=False)
    await play.pushed("reacted", times=3)
    await play.talks("c-2", "Not this.")
    await play.commands("delete", message="msg_3")
    await play.pushed("deleted")
    await play.commands("typing")
    await play.commands("read", position=play.position)
    await play.pushed("read")
    await play.does("bert", says={"type": "read", "position": play.position})
    await play.pushed("read", times=2)
    await play.does("bert", goes=True)


async def an_answer_grows(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "How do I resume a stream?", mentions=[MODEL])
    await play.pushed("run")
    await play.does("model", asked=True)
    await play.says({"reasoning": "Hm. "}, "Send ", "the last ", "event's id.")
    await play.does("model", finishes="stop")
    await play.pushed("end")


async def an_answer_is_stopped(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "Tell me everything.", mentions=[MODEL])
    await play.pushed("run")
    await play.does("model", asked=True)
    await play.says("In the ", "beginning ")
    await play.commands("cancel", run="run_1")
    await play.pushed("end")


async def an_answer_fails(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "Are you there?", mentions=[MODEL])
    await play.pushed("run")
    await play.does("model", asked=True)
    await play.does("model", breaks=["upstream_unreachable", "No connection to the model's server."])
    await play.pushed("end")


async def an_answer_is_tried_again(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "Are you there?", mentions=[MODEL])
    await play.pushed("run")
    await play.does("model", asked=True)
    await play.does("model", breaks=["upstream_cut", "The connection to the model broke."])
    await play.pushed("attempt")
    await play.does("model", asked=True)
    await play.says("Now ", "I am.")
    await play.does("model", finishes="stop")
    await play.pushed("end")


async def rejoined_in_mid_answer(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "What if I lose the line?", mentions=[MODEL])
    await play.pushed("run")
    await play.does("model", asked=True)
    await play.says("You ", "come ")
    since = play.position
    await play.does("network", on=1, cuts=True)
    await play.does("bert", enters="/v1/rooms/lobby/ws")
    await play.does("bert", says={"type": "message", "client_id": "b-1", "text": "Where is Ann?"})
    await play.does("model", says=["back, "])
    await play.enters(since)
    await play.pushed("snapshot")
    await play.says("and go on.")
    await play.does("model", finishes="stop")
    await play.pushed("end")


async def rejoined_after_the_end(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "What if I miss the end?", mentions=[MODEL])
    await play.pushed("run")
    await play.does("model", asked=True)
    await play.says("You ")
    since = play.position
    await play.does("bert", enters="/v1/rooms/lobby/ws")
    await play.does("network", on=1, cuts=True)
    await play.does("model", says=["are told."])
    await play.does("model", finishes="stop")
    await play.does("bert", hears="end")
    await play.enters(since)


async def not_recovered(play: Rehearsal) -> None:
    await play.does("world", does="the room keeps two events")
    await play.enters()
    await play.talks("c-1", "I shall be away for long.")
    since = play.position
    await play.does("network", on=1, cuts=True)
    await play.does("bert", enters="/v1/rooms/lobby/ws")
    for number in range(1, 5):
        await play.does("bert", says={"type": "message", "client_id": f"b-{number}", "text": f"Message {number}"})
    await play.enters(since)


async def sent_again(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "Do you hear me?")
    await play.does("network", on=1, loses="all")
    await play.sends("message", {"client_id": "c-2", "text": "This is lost on its way."})
    await play.sends("message", {"client_id": "c-3", "text": "This, too."})
    await play.does("network", on=1, cuts=True)
    await play.enters(play.position)
    await play.talks("c-2", "This is lost on its way.")
    await play.talks("c-3", "This, too.")


async def sent_again_though_said(play: Rehearsal) -> None:
    await play.enters()
    await play.does("bert", enters="/v1/rooms/lobby/ws")
    await play.talks("c-1", "Do you hear me?")
    since = play.position
    await play.does("network", on=1, loses="answers")
    await play.sends("message", {"client_id": "c-2", "text": "The answer to this is lost."})
    await play.does("bert", hears="c-2")
    await play.does("network", on=1, cuts=True)
    await play.enters(since)
    said = {"client_id": "c-2", "text": "The answer to this is lost."}
    await play.answered(await play.sends("message", said, unless_heard=True))
    await play.talks("c-3", "It was said once.")


async def refused_commands(play: Rehearsal) -> None:
    await play.enters()
    await play.does("bert", enters="/v1/rooms/lobby/ws")
    await play.does("bert", says={"type": "message", "client_id": "b-1", "text": "This is mine."})
    await play.pushed("message")
    await play.commands("edit", message="msg_1", text="Mine!")
    await play.commands("delete", message="msg_nope")
    await play.commands("cancel", run="run_nope")
    await play.commands("message", client_id="c-1", text="")
    await play.commands("read", position="nowhere")
    await play.talks("c-3", "All of that changed nothing.")


async def the_server_goes_away(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "Are you going?")
    since = play.position
    await play.does("world", does="the server is started anew")
    await play.hears(lambda line: "closes" in line, "it is closed")
    await play.enters(since)
    await play.talks("c-2", "You are back.")


async def state_is_lost(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "Remember this.")
    since = play.position
    await play.does("world", does="the store forgets the rooms")
    await play.hears(lambda line: "closes" in line, "it is closed")
    await play.enters(since)
    await play.talks("c-2", "What was it?")


async def too_slow(play: Rehearsal) -> None:
    await play.enters()
    await play.talks("c-1", "I read slowly.")
    since = play.position
    await play.does("world", does="the client is too slow")
    await play.hears(lambda line: "closes" in line, "it is closed")
    await play.does("bert", enters="/v1/rooms/lobby/ws")
    await play.does("bert", says={"type": "message", "client_id": "b-1", "text": "Take your time."})
    await play.enters(since)
    await play.talks("c-2", "Here I am.")


class Scene(NamedTuple):
    """One scene: what it is about, and the settings of its server."""

    about: str
    play: Callable[[Rehearsal], Awaitable[None]]
    settings: dict[str, Any] = {}


RUNS = {
    "whole-run": Scene("a run from its start to its end, with output of each kind", a_whole_run),
    "snapshot-then-live": Scene("who comes late gets a snapshot, then what is new", a_snapshot_then_live),
    "resumed": Scene("after a cut the stream goes on behind the last id", resumed_after_a_cut),
    "restarted": Scene("attempts: the first one is withdrawn, the second continued", an_attempt_restarted),
    "failed": Scene("a run that failed before it said anything", a_failed_end),
    "incomplete": Scene("a run whose model was cut off", an_incomplete_end),
    "cancelled": Scene("a run that is cancelled while it is followed", a_cancelled_end),
    "nothing-left": Scene("who has seen the end is told that there is nothing left: 204", nothing_left),
    "come-back": Scene(
        "a passing refusal of an EventSource: 200, retry, close", a_passing_refusal, {"max_subscribers": 1}
    ),
}
ROOMS = {
    "talking": Scene("people say, edit, delete, react, type and read", talking),
    "answer": Scene("an answer grows, and ends", an_answer_grows),
    "answer-stopped": Scene("an answer is cancelled", an_answer_is_stopped),
    "answer-failed": Scene("an answer fails before it said anything", an_answer_fails),
    "answer-tried-again": Scene(
        "an answer is broken off before its first word, and tried again", an_answer_is_tried_again
    ),
    "rejoined-in-mid-answer": Scene("cut in mid-answer: what was missed, then a snapshot", rejoined_in_mid_answer),
    "rejoined-after-the-end": Scene("cut in mid-answer, and back after its end", rejoined_after_the_end),
    "not-recovered": Scene("away for longer than the room keeps its log", not_recovered),
    "sent-again": Scene("messages that the cut swallowed are sent again, in order", sent_again),
    "sent-again-though-said": Scene("a message whose answer was lost is said once", sent_again_though_said),
    "refused": Scene("commands that are refused, each with its ref", refused_commands),
    "going-away": Scene("1001: the server is started anew", the_server_goes_away),
    "state-lost": Scene("4409: the store has lost the room", state_is_lost),
    "too-slow": Scene("4430: the client reads too slowly", too_slow),
}
