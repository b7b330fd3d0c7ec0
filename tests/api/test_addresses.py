"""Which address limits are counted for."""

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from headwater.state import AppState
from headwater.web.auth import address_of


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/socket", "/run/socket"),
        (None, "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_and_an_ipv4_client_as_itself(client: str | None, counted: str) -> None:
    scope: dict[str, Any] = {"type": "http", "client": None if client is None else (client, 1234), "headers": []}
    assert address_of(HTTPConnection[AppState](scope)) == counted
