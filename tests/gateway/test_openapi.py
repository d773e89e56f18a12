"""What is described is what is answered: by hand, and by schemathesis against a running service."""

import asyncio
import itertools
import json
import re
from html import escape
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from livecomments_gateway.calls import CALLS
from livecomments_gateway.openapi import docs_page, openapi
from tests.gateway.test_answers import JWT, signed
from tests.served import Served, served

EXAMPLES_MAX: Final = 15
"""Of each call, right and wrong ones each. CI's nightly run may raise it."""
CALL_TIMEOUT_S: Final = 10.0
DOCUMENT: Final = openapi(CALLS)


async def test_the_document_is_served_and_says_what_the_table_says(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        async with running.client.get("/openapi.json") as answer:
            assert answer.content_type == "application/json"
            assert await answer.json() == DOCUMENT
        async with running.client.get("/docs") as answer:
            text = await answer.text()
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for call in CALLS:
        assert call.path in text
        assert escape(call.summary) in text
    assert "<script" not in text
    assert "http://" not in text.replace("xmlns", "")


def test_every_schema_of_the_document_is_sound_and_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return found + [each for inner in value.values() for each in references(inner)]
        return [each for inner in value for each in references(inner)] if isinstance(value, list) else []

    for reference in references(DOCUMENT):
        at: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_document_is_one_that_generators_take() -> None:
    """What they stumble over: schemas that are no objects, references into others, what is not said of security."""

    def schemas(value: Any, name: str = "") -> list[Any]:
        inner = value.items() if isinstance(value, dict) else [(name, each) for each in value]
        nested = [found for at, each in inner if isinstance(each, dict | list) for found in schemas(each, at)]
        return nested + (list(value.values()) if name == "properties" and isinstance(value, dict) else [])

    text = json.dumps(DOCUMENT)
    assert all(isinstance(schema, dict) for schema in schemas(DOCUMENT))
    references = set(re.findall(r'"\$ref": "([^"]+)"', text))
    assert references <= {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert not {"comment-created", "user-banned"} & DOCUMENT["components"]["schemas"].keys()
    assert not urlsplit(DOCUMENT["servers"][0]["url"]).path.startswith("/")
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            if method != "parameters":
                assert isinstance(operation["security"], list), (method, path)
                assert "application/problem+json" in operation["responses"]["default"]["content"], (method, path)
    assert DOCUMENT["paths"]["/sessions"]["post"]["security"] == []
    assert DOCUMENT["paths"]["/comments/{videoId}"]["post"]["security"] == [{"bearer": []}]


def test_what_the_page_shows_is_escaped() -> None:
    hostile = json.loads(orjson.dumps(DOCUMENT))
    hostile["info"]["description"] = "<script>alert(1)</script>"
    assert b"<script" not in docs_page(hostile)[0]


async def test_no_call_by_the_description_surprises_it(tmp_path: Path) -> None:
    """Each call, rightly and wrongly: no 5xx, no undocumented status, media type, header or body.

    A text that follows its schema may still be refused: a schema cannot say "has a visible character".
    """
    async with served(tmp_path, **JWT) as running:
        guest = await running.token()
        _, comment = await running.post("v", "hi", guest)
        await asyncio.to_thread(_call_all, running, guest, comment["commentId"])


def _call_all(running: Served, guest: str, comment_id: str) -> None:
    tokens = itertools.cycle((guest, signed(sub="all", roles=["moderate", "own"], jti="all")))
    schema = schemathesis.openapi.from_dict({**DOCUMENT, "servers": [{"url": running.url}]})
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    called = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        if operation.path.endswith("/stream") or operation.path.startswith("/streams/"):
            continue  # the one never ends, the other waits (tests/consumers/test_durable.py)
        called += 1
        strategy = operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

        @given(case=strategy)
        @settings(
            max_examples=EXAMPLES_MAX,
            deadline=None,
            derandomize=True,  # a finding must not come and go; vary the number of examples to look further
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def call(case: schemathesis.Case[Any]) -> None:
            is_right = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
            # What is wrong may be the token alone, in whose place a good one is put: one that may do least.
            token = next(tokens) if is_right and not case.path.startswith("/sessions") else guest
            case.headers["Authorization"] = f"Bearer {token}"
            if is_right and "commentId" in case.path_parameters and case.path.startswith("/videos"):
                case.path_parameters |= {"videoId": "v", "commentId": comment_id}  # by chance it meets none
            response = case.call(base_url=running.url, timeout=CALL_TIMEOUT_S)
            if response.status_code == 413:
                return  # too large to be looked at
            case.validate_response(response, excluded_checks=[positive_data_acceptance])

        call()
    assert called == len(CALLS)
