"""Manifests are held against CRDs strictly."""

from typing import Any

import pytest

from infra.kube.schemas import kind_of, problems, schemas_of

SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["topic"],
    "properties": {
        "topic": {"type": "string"},
        "partitions": {"type": "integer", "minimum": 1},
        "port": {"x-kubernetes-int-or-string": True},
        "config": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {}},
        "of": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
}
DEFINITION: dict[str, Any] = {
    "kind": "CustomResourceDefinition",
    "spec": {
        "group": "example.org",
        "names": {"kind": "Topic"},
        "versions": [
            {
                "name": "v1",
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": {}}}},
            }
        ],
    },
}


def told_of(spec: dict[str, Any]) -> list[str]:
    manifest = {"apiVersion": "example.org/v1", "kind": "Topic", "metadata": {"name": "x"}, "spec": spec}
    return problems(manifest, schemas_of([{"kind": "Namespace"}, DEFINITION])[kind_of(manifest)])


def test_what_fits_fits() -> None:
    assert (
        told_of({"topic": "t", "partitions": 3, "port": "http", "config": {"any.thing": 1}, "of": [{"name": "a"}]})
        == []
    )
    assert told_of({"topic": "t", "port": 80}) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"topic": "t", "partitons": 3}, "spec: "),
        ({"topic": "t", "partitions": 0}, "spec.partitions: "),
        ({}, "spec: 'topic' is a required property"),
        ({"topic": "t", "of": [{"nam": "a"}]}, "spec.of.0: "),
    ],
    ids=str,
)
def test_what_does_not_is_named(spec: dict[str, Any], said: str) -> None:
    (problem,) = told_of(spec)
    assert problem.startswith(said)
