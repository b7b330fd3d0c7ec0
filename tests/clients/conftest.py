"""What tests share who need nothing special of it: a server start costs more than most of them."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.clients.scene import KEY, Scene, on_stage
from tests.streaming.stage import DEADLINE_S


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server on which a test looks only at runs of its own, and which sends a comment into every silence."""
    with on_stage(tmp_path_factory.mktemp("clients")) as scene:
        yield scene


@pytest.fixture(scope="module")
def client(scene: Scene) -> Iterator[OpenAI]:
    """OpenAI's client, which here holds every object and event to its own schema."""
    with OpenAI(
        api_key=KEY, base_url=scene.url, max_retries=0, timeout=DEADLINE_S, _strict_response_validation=True
    ) as client:
        yield client
