"""Who is asking, by what credential, and how much they may use."""

from headwater.access.access import Access, Ticket, Watch
from headwater.access.quotas import Quotas, Rates, Seat, rate_headers

__all__ = ["Access", "Quotas", "Rates", "Seat", "Ticket", "Watch", "rate_headers"]
