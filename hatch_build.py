"""Puts the documentation into wheels: the demo model answers from it.

Not into an editable install, where it is read where it lies and a copy would only grow old.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Documentation(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_data["force_include"] |= {"docs": "headwater/_docs", "README.md": "headwater/_docs/README.md"}
