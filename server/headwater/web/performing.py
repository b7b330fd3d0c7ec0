"""What a room does for a member, command by command."""

from headwater.core.access import Principal
from headwater.core.commands import Cancel, Delete, Edit, History, Message, React, ReadTo, Typing
from headwater.core.pushes import Member, Ok, view
from headwater.core.session import Performable
from headwater.state import AppState


async def perform(state: AppState, principal: Principal, room: str, member: Member, command: Performable) -> Ok:
    """Carry the command out. Raises HeadwaterError."""
    talk = state["talk"]
    match command:
        case Message():
            said = await talk.say(principal, room, member, command)
            return Ok(message=said.place.post.id, asked=said.asked)
        case Edit():
            await talk.edit(principal, room, member, command)
        case Delete():
            await talk.delete(principal, room, member, command)
        case React():
            await talk.react(principal, room, member, command)
        case Typing():
            await talk.types(principal, room, member, command)
        case ReadTo():
            await talk.mark(principal, room, member, command)
        case Cancel():
            await talk.cancel(principal, room, member, command)
        case History():
            places, has_more = await state["rooms"].history(principal, room, command.before, command.limit)
            return Ok(messages=[view(place) for place in places], has_more=has_more)
    return Ok()
