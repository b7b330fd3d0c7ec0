"""A script of another environment, and what it says came of each of its cases."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scene import KEY, TOOL, Scene

HERE = Path(__file__).parent
_DEADLINE_S = 50.0  # below a test's own


class Told:
    """What each case came to: a value, or an error."""

    def __init__(self, outcomes: dict[str, dict[str, Any]]) -> None:
        self.outcomes = outcomes

    def value(self, case: str) -> Any:
        """What it returned."""
        outcome = self.outcomes[case]
        assert "error" not in outcome, f"{case} raised {outcome['error']}"
        return outcome.get("value")

    def error(self, case: str) -> dict[str, Any]:
        """What it raised: its class's `name`, and whatever the client says of it."""
        outcome = self.outcomes[case]
        assert "error" in outcome, f"{case} returned {outcome.get('value')}"
        error: dict[str, Any] = outcome["error"]
        return error


Check = Callable[[Scene, Told], None]


class Script:
    """A script of this folder. What is expected of its cases is put to it by `check`.

    One test plays it and checks all, as a start of it costs seconds, and tests of a file may be spread over processes.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.checks: list[Check] = []

    def check(self, check: Check) -> Check:
        """A decorator: this is to hold, too."""
        self.checks.append(check)
        return check

    def play(self, scene: Scene, interpreter: str | Path, subtests: pytest.Subtests) -> None:
        """Run it on the scene, and see what came of it."""
        told = self._tell(scene, interpreter)
        for check in self.checks:
            with subtests.test(check.__name__.replace("_", " ")):
                check(scene, told)

    def _tell(self, scene: Scene, interpreter: str | Path) -> Told:
        environment = {"PATH": os.environ["PATH"], "BASE_URL": scene.url, "KEY": KEY, "TOOL": json.dumps(TOOL)}
        command = [interpreter, HERE / self.name]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_DEADLINE_S, cwd=HERE)
        assert ran.returncode == 0, f"{self.name} ended with {ran.returncode}:\n{ran.stdout}\n{ran.stderr}"
        return Told(json.loads(ran.stdout))
