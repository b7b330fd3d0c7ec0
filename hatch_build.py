"""Puts into wheels what lies elsewhere: the documentation, which the demo model answers from, and the page's client.

Not into an editable install, where both are read where they lie and a copy would only grow old.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Elsewhere(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"] |= {
                "docs": "headwater/_docs",
                "README.md": "headwater/_docs/README.md",
                "clients/js/src": "headwater/web/static/headwater",
            }
