"""Whom a message asks, which answers may begin, and what a model is told of the conversation."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from headwater.core.room import Concurrency, Place, Post, RoomSettings, Turn
from headwater.core.run import Message

# As many answers as fit side by side on a screen; each is paid for, so a message asks for no crowd.
ASKED_MAX: Final = 4
# More texts that grow at once nobody reads; each has its upstream, so one room keeps none from the others.
PARALLEL_MAX: Final = 8


def asked_models(
    settings: RoomSettings,
    mentions: Sequence[str],
    replied: Post | None,
    *,
    default: str,
    is_model: Callable[[str], bool],
) -> tuple[str, ...]:
    """The models that a message asks, each once; a mention that is no model is a person.

    `replied` is what the message replies to, `default` the model of rooms that name none.
    """
    if settings.policy == "never":
        return ()
    own = settings.model or default
    asked = [name for name in mentions if name == own or is_model(name)]
    spoken_to = [replied.model] if replied is not None and replied.model is not None else []
    if settings.policy == "reply":
        asked += spoken_to
    elif settings.policy == "always":
        asked = asked or spoken_to or [own]
    return tuple(dict.fromkeys(asked))[:ASKED_MAX]


class Decision(Struct, frozen=True, kw_only=True):
    """What is to be done, in this order: cancel answers, drop turns, begin turns while fewer than `most` are open."""

    cancel: tuple[Turn, ...] = ()
    drop: tuple[Turn, ...] = ()
    begin: tuple[Turn, ...] = ()
    most: int


def next_turns(turns: Sequence[Turn], concurrency: Concurrency) -> Decision:
    """What follows for a room's turns, which come in the order in which they were asked for."""
    waiting = tuple(turn for turn in turns if not turn.open)
    under_way = tuple(turn for turn in turns if turn.open)
    if concurrency == "cancel-and-restart":
        return _newest_only(turns[-1].asked, waiting, under_way) if waiting else Decision(most=ASKED_MAX)
    most = 1 if concurrency == "queue" else PARALLEL_MAX
    return Decision(begin=waiting[: max(0, most - len(under_way))], most=most)


def _newest_only(newest: str, waiting: tuple[Turn, ...], under_way: tuple[Turn, ...]) -> Decision:
    """All models that the newest question asks answer it, once the answers to others are over."""
    cancel = tuple(turn for turn in under_way if turn.asked != newest)
    return Decision(
        cancel=cancel,
        drop=tuple(turn for turn in waiting if turn.asked != newest),
        begin=() if cancel else tuple(turn for turn in waiting if turn.asked == newest),
        most=ASKED_MAX,
    )


def conversation(places: Sequence[Place], asked: Place, model: str, budget_bytes: int) -> list[Message]:
    """What `model` is told when it is asked: whole messages, the oldest left out first, the asked one always last.

    What other models said is an assistant's too, under its name: as a user's it would bear a person's authority.
    """
    messages = _messages(places, asked, model)
    left = budget_bytes - sum(map(_size, messages))
    begins = 0
    while begins < len(messages) - 1 and (left < 0 or messages[begins].role == "assistant"):
        # An answer without its question says little, and there are servers that let no conversation begin with one.
        left += _size(messages[begins])
        begins += 1
    return messages[begins:]


def conversation_bytes(places: Sequence[Place], asked: Place, model: str) -> int:
    """How much of a budget all that was said until then would take."""
    return sum(map(_size, _messages(places, asked, model)))


def _messages(places: Sequence[Place], asked: Place, model: str) -> list[Message]:
    told = [*_before(places, asked, model), asked.post]
    whose: dict[str, set[str]] = {}  # who goes by each name
    for post in told:
        if not post.is_answer:
            whose.setdefault(post.name, set()).add(post.by)
    return [_message(post, model, whose) for post in told]


def _before(places: Sequence[Place], asked: Place, model: str) -> list[Post]:
    """What was said before, each answer behind its question: what was said in between it was not told.

    An answer whose question is too old to be here is too old itself. A model's own answer comes before the others':
    where a server's turns are merged, what follows a name is that other's.
    """
    created = {place.post.id: place.created.seq for place in places}
    told: list[tuple[tuple[int, int, int], Post]] = []
    for place in places:
        post = place.post
        seq = created.get(post.asked or "") if post.is_answer else place.created.seq
        if seq is None or seq >= asked.created.seq or not _has_something_to_say(post):
            continue
        rank = 0 if not post.is_answer else 1 if post.model == model else 2
        told.append(((seq, rank, place.created.seq), post))
    return [post for _, post in sorted(told, key=lambda item: item[0])]


def _has_something_to_say(post: Post) -> bool:
    return not post.deleted and post.text != "" and post.status != "in_progress"


def _message(post: Post, model: str, whose: dict[str, set[str]]) -> Message:
    if post.is_answer:
        return Message("assistant", post.text, name=None if post.model == model else post.model)
    alone = len(whose[post.name]) == 1
    return Message("user", post.text, name=post.name if alone else f"{post.name} ({post.by})")


def _size(message: Message) -> int:
    assert isinstance(message.content, str), "made here"
    return len(message.content.encode()) + len((message.name or "").encode())
