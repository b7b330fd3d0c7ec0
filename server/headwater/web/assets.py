"""The page's files: what the browser is sent as it lies here."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

STATIC: Final = Path(str(files("headwater.web").joinpath("static")))
_PACKAGED: Final = STATIC / "headwater"
_CHECKOUT: Final = Path(__file__).parents[3] / "clients" / "js" / "src"

CLIENT: Final = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
"""The JavaScript client as shipped: a wheel has a copy, a checkout has the source."""


# Not asked of the machine, whose own table may lie or be missing.
_MEDIA_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Assets(StaticFiles):
    """Files that a browser may keep, and asks for again each time whether they have changed."""

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        media_type = _MEDIA_TYPES.get(Path(full_path).suffix, "application/octet-stream")
        headers = {"Cache-Control": "no-cache"}
        response = FileResponse(full_path, status_code, headers, media_type, stat_result=stat_result)
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return NotModifiedResponse(response.headers)
        return response
