"""`python -m infra.kube.schemas CRD.yaml…`: holds manifests, from standard input, against CRDs.

Strict, unlike an API server by default: a field that the schema does not know is told, and not dropped. Rules in CEL
are not looked at. Objects of kinds that no file describes are counted. Exit code 1 if anything does not fit.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml

Object = dict[str, Any]
Kind = tuple[str, str]
"""apiVersion and kind."""

_BY_ALL_KINDS: Final = frozenset(("apiVersion", "kind", "metadata"))


def schemas_of(definitions: Iterable[Object]) -> dict[Kind, Object]:
    """Return the strict JSON Schema of each kind and version that CRDs define."""
    found = {}
    for definition in definitions:
        if definition.get("kind") != "CustomResourceDefinition":
            continue
        spec = definition["spec"]
        for version in spec["versions"]:
            kind = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
            schema = _strict(version["schema"]["openAPIV3Schema"])
            properties = schema.get("properties", {})
            schema["properties"] = {**properties, **{name: {} for name in _BY_ALL_KINDS}}
            found[kind] = schema
    return found


def problems(manifest: Object, schema: Object) -> list[str]:
    """Return what of a manifest does not fit, a line each."""
    errors = jsonschema.Draft4Validator(schema).iter_errors(manifest)
    return [f"{'.'.join(map(str, error.absolute_path)) or 'it'}: {error.message}" for error in errors]


def kind_of(manifest: Object) -> Kind:
    """Return what it is."""
    return manifest["apiVersion"], manifest["kind"]


def _strict(schema: Mapping[str, Any]) -> Object:
    """Have no object take what it does not name, and any value be null where that may be."""
    strict = dict(schema)
    for name in ("properties", "patternProperties"):
        if name in strict:
            strict[name] = {key: _strict(each) for key, each in strict[name].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(strict.get(name), dict):
            strict[name] = _strict(strict[name])
    if strict.pop("x-kubernetes-int-or-string", False):
        strict.pop("type", None)
    open_to_all = strict.get("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in strict and "additionalProperties" not in strict and not open_to_all:
        strict["additionalProperties"] = False
    if strict.get("nullable") and "type" in strict:
        strict["type"] = [strict["type"], "null"]
    return strict


def _documents(text: str) -> Iterator[Object]:
    return (one for one in yaml.safe_load_all(text) if one)


def main() -> int:
    """Read CRDs from the files that are named and manifests from standard input."""
    schemas = schemas_of(one for path in sys.argv[1:] for one in _documents(Path(path).read_text()))
    unfit, unknown = 0, 0
    for manifest in _documents(sys.stdin.read()):
        schema = schemas.get(kind_of(manifest))
        if schema is None:
            unknown += 1
            continue
        found = problems(manifest, schema)
        unfit += bool(found)
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        print("\n".join(f"{name}: {problem}" for problem in found) or f"{name}: fits")
    print(f"{unknown} objects of other kinds", file=sys.stderr)
    return 1 if unfit else 0


if __name__ == "__main__":
    sys.exit(main())
