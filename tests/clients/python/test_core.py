"""The core of the Python client is pure, and the rest of it is thin."""

import ast
from pathlib import Path

import headwater_client

PACKAGE = Path(headwater_client.__file__).parent
MAY_IMPORT = {"collections", "dataclasses", "json", "re", "typing", "urllib"}  # of which only urllib.parse
OURS = ("headwater_client.core", "headwater_client.errors", "headwater_client.rooms", "headwater_client.runs")
FILE_LINES_MAX = 400


def test_the_core_does_no_io_and_knows_no_clock_and_no_chance() -> None:
    found = []
    for path in sorted((PACKAGE / "core").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            allowed = [name.startswith(OURS) or name.partition(".")[0] in MAY_IMPORT for name in names]
            found += [f"{path.name} imports {name}" for name, fine in zip(names, allowed, strict=True) if not fine]
    assert not found


def test_every_file_is_one_idea() -> None:
    assert not [path for path in PACKAGE.rglob("*.py") if path.read_text().count("\n") > FILE_LINES_MAX]


def test_both_clients_can_do_the_same() -> None:
    def public(kind: type) -> set[str]:
        return {name.replace("aclose", "close") for name in dir(kind) if not name.startswith("_")}

    for one, other in (
        (headwater_client.Client, headwater_client.AsyncClient),
        (headwater_client.Watch, headwater_client.AsyncWatch),
        (headwater_client.TextStream, headwater_client.AsyncTextStream),
        (headwater_client.Room, headwater_client.AsyncRoom),
    ):
        assert public(one) == public(other)
