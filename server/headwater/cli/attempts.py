"""An answer that goes on after something failed, in a few words."""

from headwater.cli.remote import one_line
from headwater_client import Attempt, Retried


def how_it_goes_on(attempt: Attempt | Retried) -> str:
    """Whether it was continued or begun anew, and by whom."""
    what = "begun anew" if attempt.how == "restarted" else "continued"
    if attempt.model is not None:
        return f"{what} by {one_line(attempt.model)}"
    if attempt.reason == "failover":
        return f"{what}, after a fault of the model's server"
    if attempt.reason == "drain":
        return f"{what} by the next worker"
    return f"{what} after its worker was lost"
