"""`/openapi.json`: the table of calls as OpenAPI 3.1, with the schemas of `schemas/json` as its components.

Source: https://spec.openapis.org/oas/v3.1.1.html. And `/docs`: the same for people, one page without a script.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from typing import Any, Final

from livecomments.log.session_names import SESSION_COOKIE
from livecomments_gateway.calls import Call
from livecomments_schemas.limits import HISTORY_ON_JOIN_MAX, MISSED_ON_RESUME_MAX, VIDEO_ID_CHARS_MAX
from livecomments_schemas.positions import COMMENT_ID_CHARS
from livecomments_schemas.published import SCHEMA_FILE, is_of_record, published_schemas

_VERSION: Final = "1"
_PATH_SCHEMAS: Final = {
    "videoId": {"type": "string", "pattern": rf"^(?!\.{{1,2}}$)[A-Za-z0-9._~-]{{1,{VIDEO_ID_CHARS_MAX}}}$"},
    "commentId": {"type": "string", "pattern": rf"^[0-9a-v]{{{COMMENT_ID_CHARS}}}$"},
    "userId": {"type": "string", "minLength": 1},
}


def _problem(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}
    return {"description": description, "content": content}


_ANY_PROBLEM: Final = _problem(
    "Any other problem, as of every path: a method that it does not take (405, with Allow), a request that is too "
    "large, too slow or no HTTP, a fault of ours. All codes stand in docs/ERRORS.md."
)
_STREAM: Final = {
    "operationId": "openStream",
    "summary": "Follow a video live",
    "description": "Server-Sent Events: comment, delete, gap, video, stale, heartbeat, bye. A client that reconnects "
    "with Last-Event-ID misses nothing. What may pass is said as 200 with retry: and the end of the stream. No token "
    "is needed; one that comes, by Authorization or cookie, ends the stream with its session. In the URL it is "
    "refused.",
    "parameters": [
        {"name": "after", "in": "query", "description": "Go on behind this comment id.", "schema": {"type": "string"}},
        {
            "name": "lastEventId",
            "in": "query",
            "description": "As after; wins over it. Also spelled lastEventID, Last-Event-ID, last_event_id.",
            "schema": {"type": "string"},
        },
        {
            "name": "missed",
            "in": "query",
            "description": "Of what was missed, no more than the newest N comments; the rest is told as a gap.",
            "schema": {"type": "integer", "minimum": 0, "maximum": MISSED_ON_RESUME_MAX},
        },
        {
            "name": "history",
            "in": "query",
            "description": "First the newest N comments.",
            "schema": {"type": "integer", "minimum": 0, "maximum": HISTORY_ON_JOIN_MAX},
        },
        {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "As after; wins over both parameters.",
            "schema": {"type": "string"},
        },
        {"name": SESSION_COOKIE, "in": "cookie", "description": "A token.", "schema": {"type": "string"}},
    ],
    "responses": {
        "200": {"description": "Events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        "204": {"description": "The video is over, and you have all of it."},
        "400": _problem("Problem: a parameter or id that cannot be, or a token in the URL."),
        "401": _problem("Problem: the session of the token has ended."),
        "default": _ANY_PROBLEM,
    },
    "security": [{}, {"bearer": []}],
    "tags": ["comments"],
}

_DURABLE: Final = {
    "operationId": "readStream",
    "summary": "Read or follow a video's log by polling",
    "description": "The reading half of the Durable Streams protocol (draft 1.0, JSON mode), made to be shared by "
    "caches: with it a crowd costs the service as much as one client. Messages have a type: comment, delete or video. "
    "Go on at Stream-Next-Offset, with Stream-Cursor as the cursor. A stream is never closed.",
    "parameters": [
        {
            "name": "offset",
            "in": "query",
            "description": "What comes after it is answered: -1 is the beginning, now is the end, else a comment id.",
            "schema": {"type": "string", "default": "-1"},
        },
        {
            "name": "live",
            "in": "query",
            "description": "Wait for what comes: long-poll for one answer, some 20 s; sse for events, for a minute.",
            "schema": {"enum": ["long-poll", "sse"]},
        },
        {
            "name": "cursor",
            "in": "query",
            "description": "The Stream-Cursor of the last answer.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
        },
        {"name": "If-None-Match", "in": "header", "description": "An ETag.", "schema": {"type": "string"}},
    ],
    "responses": {
        "200": {
            "description": "Messages, or events.",
            "content": {
                "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        },
        "204": {"description": "Nothing came while you waited. Wait again."},
        "304": {"description": "You have it."},
        "400": _problem("Problem: a parameter or id that cannot be, or a token in the URL."),
        "401": _problem("Problem: the session of the token has ended."),
        "410": _problem("Problem: what follows the offset is not in the log. Begin anew."),
        "503": _problem("Problem: come back after Retry-After."),
        "default": _ANY_PROBLEM,
    },
    "security": [{}, {"bearer": []}],
    "tags": ["comments"],
}


def openapi(calls: Iterable[Call]) -> dict[str, Any]:
    """Make the document, as JSON takes it."""
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        at = paths.setdefault(call.path, {"parameters": _path_parameters(call.path)})
        at[call.method.lower()] = _operation(call)
    stream = "/comments/{videoId}/stream"
    paths[stream] = {"parameters": _path_parameters(stream), "get": _STREAM}
    durable = "/streams/{videoId}"
    paths[durable] = {"parameters": _path_parameters(durable), "get": _DURABLE}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "livecomments",
            "version": _VERSION,
            "description": "Live comments for live video. Errors are problems (RFC 9457) with a stable code; a path "
            "that is not here answers 404 with one.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": ".", "description": "Where this document is, below whatever path prefix."}],
        "paths": paths,
        "components": {
            "schemas": _components(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "A JWT, or a session."}},
        },
    }


def docs_page(document: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Render the page for people, and the headers it is answered with."""
    digest = b64encode(sha256(_STYLE.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"
    sections = "".join(
        _section(method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>livecomments: calls</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><main><h1>livecomments</h1>'
        f'<p>{escape(document["info"]["description"])} The same for programs: <a href="openapi.json">OpenAPI</a>.</p>'
        f"{sections}</main></html>"
    )
    return page.encode(), {"Content-Security-Policy": policy}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.summary,
        "description": call.detail,
        "responses": {str(status): _answer(call, name) for status, name in call.answers.items()},
    }
    for status, codes in call.codes_by_status().items():
        operation["responses"][str(status)] = _problem("Problem: " + ", ".join(codes))
    operation["responses"]["default"] = _ANY_PROBLEM
    if call.parameters:
        operation["parameters"] = [
            {"name": each.name, "in": each.where, "description": each.doc, "schema": each.kind.schema()}
            for each in call.parameters
        ]
    if call.body:
        content = {"application/json": {"schema": call.body_schema()}}
        operation["requestBody"] = {"required": call.is_body_required, "content": content}
    operation["security"] = [{"bearer": []}] if call.takes_token else []
    operation["tags"] = [call.path.split("/")[1]]
    return operation


def _answer(call: Call, name: str | None) -> dict[str, Any]:
    if name is None:
        return {"description": "Done."}
    content = {call.media_type: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {"description": "Done.", "content": content}


def _components() -> dict[str, Any]:
    """Load the published schemas of answers, and point their references to `#/components/schemas`."""
    schemas = published_schemas()
    components = {name: _referring(schema, schemas) for name, schema in schemas.items() if not is_of_record(schema)}
    for component in components.values():
        del component["$schema"]
    return components


def _referring(value: Any, schemas: Mapping[str, Any]) -> Any:
    """Point references to whole schemas into the document; replace one to a part of a schema by a copy of that part.

    Few generators follow references to parts.
    """
    if isinstance(value, list):
        return [_referring(each, schemas) for each in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if not isinstance(reference, str):
        return {name: _referring(each, schemas) for name, each in value.items()}
    file, _, part = reference.partition("#/")
    name = file.removesuffix(SCHEMA_FILE)
    if not part:
        return {"$ref": f"#/components/schemas/{name}"}
    meant = schemas[name]
    for step in part.split("/"):
        meant = meant[step]
    beside = {name: each for name, each in value.items() if name != "$ref"}
    return _referring({**meant, **beside}, schemas)


def _section(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [(each["name"], each["in"], each["schema"], each["description"]) for each in operation.get("parameters", ())]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    rows += [(name, "body", schema, schema["description"]) for name, schema in body.get("properties", {}).items()]
    takes = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{where}<td><code>{escape(_said(schema))}</code><td>{escape(doc)}"
        for name, where, schema, doc in rows
    )
    answers = "".join(
        f"<tr><td><code>{status}</code><td>{escape(answer['description'])}"
        for status, answer in operation["responses"].items()
    )
    token = "<p>Needs <code>Authorization: Bearer</code>.</p>" if operation["security"] == [{"bearer": []}] else ""
    return (
        f"<section><h2><code>{method} {escape(path)}</code></h2><p><b>{escape(operation['summary'])}.</b> "
        f"{escape(operation['description'])}</p>{token}<table>{takes}</table><table>{answers}</table></section>"
    )


def _said(schema: dict[str, Any]) -> str:
    return ", ".join(
        " or ".join(map(str, value)) if isinstance(value, list) else f"{value}" if name == "type" else f"{name} {value}"
        for name, value in schema.items()
        if name != "description"
    )


_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1a1a1a;background:#fff}main{max-width:60rem;margin:auto;"
    "padding:1.5rem}section{border-top:1px solid #ccc}h2{font-size:1.1rem}code{background:#f3f3f3;padding:.1em .3em}"
    "table{border-collapse:collapse;margin:.5rem 0;display:block;overflow-x:auto}td{padding:.2rem .8rem .2rem 0;"
    "vertical-align:top}@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}code{background:#2a2a2a}"
    "a{color:#8ab4f8}}"
)
