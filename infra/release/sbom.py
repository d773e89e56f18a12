"""What is in the image beside Python and its base, as CycloneDX 1.6: each package that is locked.

Hashes are in the lock, which the context of the image has.
"""

import re
import uuid
from typing import Any, Final

_PACKAGE: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)(?: ; (.*?))?(?: \\)?$", re.MULTILINE)
_NAMESPACE: Final = uuid.UUID("a4f4b3a6-2d0e-4d0b-9c44-0d5b5e0f3b1d")
"""Of serial numbers: of the same content the same."""


def bill_of_materials(version: str, lock: str, at: str) -> dict[str, Any]:
    """Return it.

    Args:
        version: of livecomments.
        lock: the text of requirements/distributed.lock.
        at: when the commit was made, in RFC 3339.

    Raises:
        ValueError: a line of the lock is not understood.
    """
    components = [_component(*found) for found in _PACKAGE.findall(lock)]
    if len(components) != len(re.findall(r"^\S", lock, re.MULTILINE)):
        raise ValueError("requirements/distributed.lock has lines that are not understood")
    itself = f"pkg:pypi/livecomments@{version}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, version + lock)}",
        "version": 1,
        "metadata": {
            "timestamp": at,
            "component": {
                "type": "application",
                "bom-ref": itself,
                "name": "livecomments",
                "version": version,
                "purl": itself,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
        "dependencies": [{"ref": itself, "dependsOn": [each["bom-ref"] for each in components]}],
    }


def _component(name: str, version: str, marker: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    component: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if marker:
        component["scope"] = "optional"
        component["properties"] = [{"name": "livecomments:only-where", "value": marker}]
    return component
