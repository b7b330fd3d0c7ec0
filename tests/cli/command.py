"""The commands in this process, with settings of their own."""

import os

from click.testing import CliRunner, Result

from headwater.cli import main
from headwater.config import PREFIX


def headwater(*args: str, **settings: object) -> Result:
    """What `headwater` with these arguments does; `settings` are fields of `Config` by name, and the only ones."""
    environment: dict[str, str | None] = {name: None for name in os.environ if name.startswith(PREFIX)}
    environment |= {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
    return CliRunner().invoke(main, list(args), env=environment)


def done(*args: str, **settings: object) -> Result:
    """`headwater`, which must succeed."""
    result = headwater(*args, **settings)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def refusal(*args: str, **settings: object) -> str:
    """The one line that it says before it gives up."""
    result = headwater(*args, **settings)
    assert (result.exit_code, result.stdout) == (2, ""), (result.output, result.exception)
    assert result.stderr.startswith("headwater: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("headwater: ").rstrip("\n")
