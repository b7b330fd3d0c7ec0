"""The scene that tests share who need nothing special of it: a server start costs more than most of them."""

from collections.abc import Iterator

import pytest

from tests.clients.scene import Scene, on_stage


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server on which a test looks only at runs of its own, and which sends a comment into every short silence."""
    with on_stage(tmp_path_factory.mktemp("clients")) as scene:
        yield scene
