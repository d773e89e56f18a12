"""`python -m tests.helm.program`: as much of the program `helm` as the tests use, by its engine as a library.

    template NAME CHART -f VALUES
    lint --strict CHART -f VALUES

A process of its own: the library is 85 MB of somebody else's native code.
"""

import importlib
import sys
from argparse import ArgumentParser
from pathlib import Path

import yaml

_WARNING = 2
"""Severities as Helm numbers them: 1 information, 2 warning, 3 error."""


def main() -> int:
    """Run it; the exit status says whether Helm was content."""
    parser = ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    template = commands.add_parser("template")
    template.add_argument("name")
    lint = commands.add_parser("lint")
    lint.add_argument("--strict", action="store_true", required=True)
    for command in (template, lint):
        command.add_argument("chart")
        command.add_argument("-f", dest="values", type=Path, required=True)
    arguments = parser.parse_args()
    helm = importlib.import_module("helm_python")  # it may not be there, and mypy need not know it
    values = yaml.safe_load(arguments.values.read_text())
    if arguments.command == "lint":
        found = helm.lint(arguments.chart, values, strict=True)["messages"]
        serious = [message for message in found if message["severity"] >= _WARNING]
        for message in serious:
            print(f"{message['path']}: {message['error']}", file=sys.stderr)
        return 1 if serious else 0
    try:
        with helm.Chart.load(arguments.chart) as chart:
            files = chart.render(values, name=arguments.name, namespace="default")
    except helm.HelmError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for path, text in files.items():
        if not path.endswith("NOTES.txt"):
            print(f"---\n# Source: {path}\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
