"""Who somebody is in a room."""

from headwater.core.access import ANONYMOUS, Principal
from headwater.core.pushes import Member


def member_of(principal: Principal, name: str | None) -> Member:
    """The member that a principal is, under the name they give themselves.

    Where nobody is asked who they are, somebody is who they say; elsewhere a token's own name stands, and a key, which
    is a service's, may speak under any.
    """
    if principal.subject == ANONYMOUS.subject:
        return Member(f"guest:{name}" if name else "guest", name or "guest")
    if principal.name is not None and not principal.subject.startswith("key:"):
        return Member(principal.subject, principal.name)
    return Member(principal.subject, name or principal.name or principal.subject)
