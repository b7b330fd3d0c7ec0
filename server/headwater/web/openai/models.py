"""OpenAI's list of models: what can be asked for here, by the names that requests use."""

from typing import Final, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from headwater.errors import UnknownModel
from headwater.state import AppState
from headwater.web import examples
from headwater.web.operation import Answer, operation
from headwater.web.render import json_response

# As long as a name may be in a request: with HEADWATER_ANY_MODEL any of these is a model.
_NAME_MAX: Final = 256


class ModelCard(Struct, frozen=True, kw_only=True):
    """A model, as OpenAI's clients list them. When it was made is not known here: `created` is always 0."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: Literal["headwater"] = "headwater"


class ModelList(Struct, frozen=True, kw_only=True):
    """All models that have a name here."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


@operation(
    "runs:read",
    Answer(description="The models.", example=ModelList(data=[ModelCard(id="fast"), ModelCard(id="demo")])),
)
async def list_models(request: Request[AppState]) -> Response:
    """`GET /v1/models`: the models that can be asked for."""
    return json_response(ModelList(data=[ModelCard(id=name) for name in request.state["catalog"].names()]))


@operation(
    "runs:read",
    Answer(description="The model.", example=ModelCard(id="demo")),
    errors=(examples.UNKNOWN_MODEL,),
)
async def get_model(request: Request[AppState]) -> Response:
    """`GET /v1/models/{model}`: whether a model can be asked for. Its name may hold slashes."""
    name: str = request.path_params["model"]
    if not 1 <= len(name) <= _NAME_MAX:
        raise UnknownModel(f"The name of a model has 1 to {_NAME_MAX} characters.", field="model", limit=_NAME_MAX)
    return json_response(ModelCard(id=request.state["catalog"].get(name).name))
