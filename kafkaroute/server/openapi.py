"""Serves the API's description (OpenAPI 3.1), ``openapi.json`` beside this file."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from .http import Request, Response

__all__ = ["described"]


@cache
def _document() -> bytes:
    return files("kafkaroute.server").joinpath("openapi.json").read_bytes()


async def described(_request: Request) -> Response:
    return Response(200, _document())
