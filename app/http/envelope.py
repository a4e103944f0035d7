"""Errors as every route answers them: ``{"error": {message, type, param, code}}``, always JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from app import errors
from app.errors import GatewayError

log = logging.getLogger("gateway.http")

JSON = "application/json"


def install(app: Flask) -> None:
    app.register_error_handler(GatewayError, respond)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def json_response(body: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers=headers, content_type=JSON)


def respond(error: GatewayError) -> Response:
    return json_response(error.envelope(), error.status, error.headers)


def _http(error: HTTPException) -> Response:
    """What Flask and Werkzeug raise themselves."""
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
        return respond(errors.MethodNotAllowed(f"this endpoint takes {allowed}", headers={"Allow": allowed}))
    if isinstance(error, RequestEntityTooLarge):
        return respond(errors.BodyTooLarge("the request body is too large"))
    status = error.code or 500
    if status >= 500:
        return _unexpected(error)
    raised: GatewayError = errors.InvalidRequest(HTTPStatus(status).phrase.lower())
    if status == 404:
        raised = errors.NotFound("no such endpoint")
    response = respond(raised)
    response.status_code = status
    return response


def _unexpected(error: Exception) -> Response:
    request_id = g.get("request_id", "-")
    log.error("request %s failed", request_id, exc_info=error)
    return respond(errors.unexpected(error, request_id))


def raw(status: int, error: GatewayError, request_id: str) -> bytes:
    """A whole HTTP/1.1 response, for requests that are refused before there is an application."""
    body = orjson.dumps(error.envelope())
    more = "".join(f"{name}: {value}\r\n" for name, value in error.headers.items())
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode() + body
