"""The rules of the house that no linter knows."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from headwater.config import PREFIX, Config

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "server" / "headwater"

FILE_LINES_MAX = 400  # beyond, it is more than one idea
FUNCTION_LINES_MAX = 60  # what fits on a screen
LAZY_IMPORTERS = {"app.py"}  # an option's back end is only wanted where the option is set
HTTP_CLIENTS = {"httpx", "httpx_aiohttp", "aiohttp"}
CORE_MAY_IMPORT = {
    "abc", "base64", "bisect", "codecs", "collections", "dataclasses", "enum", "functools", "hashlib", "itertools",
    "json", "math", "msgspec", "re", "string", "struct", "typing", "unicodedata",
}  # fmt: skip
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_CALLS = {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict", "ContextVar"}


@dataclasses.dataclass(frozen=True)
class Source:
    """A Python file of ours, parsed."""

    path: Path
    text: str
    tree: ast.Module

    def at(self, node: ast.AST) -> str:
        """Where a complaint about `node` points."""
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def read(directory: Path) -> list[Source]:
    paths = sorted(directory.rglob("*.py"))
    assert paths, f"nothing in {directory}"
    return [Source(path, text, ast.parse(text)) for path in paths for text in [path.read_text()]]


@pytest.fixture(scope="module")
def server() -> list[Source]:
    return read(PACKAGE)


@pytest.fixture(scope="module")
def tests() -> list[Source]:
    return read(ROOT / "tests")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def imported(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Each import below `tree`, with the full name of the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, "." * node.level + (node.module or "")


def test_every_file_is_one_idea(server: list[Source]) -> None:
    long = {source.at(source.tree): lines for source in server if (lines := source.text.count("\n")) > FILE_LINES_MAX}
    assert not long


def test_every_function_fits_a_screen(server: list[Source]) -> None:
    long = {
        source.at(function): lines
        for source in server
        for function in functions(source.tree)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert not long


def test_imports_stand_at_the_top(server: list[Source]) -> None:
    assert not [
        f"{source.at(node)} imports {name} inside {function.name}"
        for source in server
        if source.path.name not in LAZY_IMPORTERS
        for function in functions(source.tree)
        for node, name in imported(function)
    ]


def test_the_core_is_pure(server: list[Source]) -> None:
    """No loop, socket, clock, environment or chance: what it imports is listed here or core itself."""
    core = [source for source in server if source.path.parent == PACKAGE / "core"]
    assert core
    assert not [
        f"{source.at(node)} imports {name}"
        for source in core
        for node, name in imported(source.tree)
        if name.partition(".")[0] not in CORE_MAY_IMPORT and not name.startswith("headwater.core.")
    ]


def test_one_file_knows_the_http_client(server: list[Source]) -> None:
    assert not [
        f"{source.at(node)} imports {name}"
        for source in server
        if source.path != PACKAGE / "http_client.py"
        for node, name in imported(source.tree)
        if name.partition(".")[0] in HTTP_CLIENTS
    ]


def test_no_module_holds_mutable_state(server: list[Source]) -> None:
    """A table is named in capitals and never changed; everything else belongs to an object."""

    def mutable(value: ast.expr | None) -> bool:
        if isinstance(value, ast.Call):
            called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
            return called in MUTABLE_CALLS
        return isinstance(value, MUTABLE)

    found = []
    for source in server:
        for node in source.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            constant = all(name.isupper() or name == "__all__" for name in names)
            if isinstance(node, ast.Assign | ast.AnnAssign) and mutable(node.value) and not constant:
                found.append(f"{source.at(node)} {names}")
        found += [f"{source.at(node)} global" for node in ast.walk(source.tree) if isinstance(node, ast.Global)]
    assert not found


def test_only_the_polling_helper_sleeps(tests: list[Source]) -> None:
    """A test waits for a condition. Stand-ins for an upstream pace themselves, and so does the bench."""
    pacing = {"tests/support/waiting.py", "tests/support/upstream.py", "tests/support/upstream_script.py"}
    found = []
    for source in tests:
        where = source.path.relative_to(ROOT).as_posix()
        if where in pacing or where.startswith("tests/bench/"):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep", "anyio.sleep"}:
                yielding = bool(node.args) and ast.unparse(node.args[0]) == "0"  # lets others run, waits for nobody
                found += [] if yielding else [source.at(node)]
    assert not found


def test_every_setting_is_documented() -> None:
    documents = "\n".join(path.read_text() for path in [*ROOT.glob("README.md"), *(ROOT / "docs").glob("*.md")])
    settings = [f"{PREFIX}{field.name.upper()}" for field in msgspec.structs.fields(Config)]
    assert not [name for name in settings if not re.search(rf"\b{name}\b", documents)]
