"""`python -m tests.helm.program`: as much of Helm as the tests use, by its engine as a library.

It reads a request a line, `{"command": "template" or "lint", "chart": PATH, "name": RELEASE, "values": {…}}`, and
answers each with a line: `{"text": MANIFESTS, "notes": WHAT HELM PRINTS}`, or `{"refused": WHY}`.

A process of its own: the library is 85 MB of somebody else's native code. One for all tests, since loading it costs
more than what it is asked for.
"""

import importlib
import json
import sys
from typing import Any

_WARNING = 2
"""Severities as Helm numbers them: 1 information, 2 warning, 3 error."""


def main() -> None:
    """Answer until the input ends."""
    helm = importlib.import_module("helm_python")  # it may not be there, and mypy need not know it
    for line in sys.stdin:
        print(json.dumps(_answer(helm, json.loads(line))), flush=True)


def _answer(helm: Any, request: dict[str, Any]) -> dict[str, str]:
    values = request["values"]
    if request["command"] == "lint":
        found = helm.lint(request["chart"], values, strict=True)["messages"]
        serious = [f"{one['path']}: {one['error']}" for one in found if one["severity"] >= _WARNING]
        return {"refused": "\n".join(serious)} if serious else {"text": "", "notes": ""}
    try:
        with helm.Chart.load(request["chart"]) as chart:
            files = chart.render(values, name=request["name"], namespace="default")
    except helm.HelmError as error:
        return {"refused": str(error)}
    notes = [text for path, text in files.items() if path.endswith("NOTES.txt")]
    manifests = [f"---\n# Source: {path}\n{text}" for path, text in files.items() if not path.endswith("NOTES.txt")]
    return {"text": "\n".join(manifests), "notes": "".join(notes)}


if __name__ == "__main__":
    main()
