"""What a page may claim, each a function from a source tree to the sentences that say where a page is wrong.

Like `tests/tidy.py`: `tests/test_docs.py` runs them on the checkout and on planted trees.
"""

import re
import shlex
import tomllib
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

from tests.tidy import OURS, Tree

_FENCE: Final = re.compile(r"^ {0,3}(```|~~~)")
_LINK: Final = re.compile(r"\[[^\]]*\]\(\s*<?([^)>\s]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_COMMAND: Final = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ +)*(?:exec )?(?:\.venv/bin/)?livecomments +(?P<rest>.*)$")
_MAKE: Final = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ +)*make +(?P<target>[a-z]+)\b")
_NAMES_KEPT_IN: Final = (".md", ".yaml", ".yml", ".tpl", ".json", ".toml")
"""Files beside the pages that name settings and metrics: charts, dashboards, alerts."""
_PACKAGES: Final = "|".join(name.removeprefix("livecomments_") for name in OURS)
"""Ours begin like our metrics."""
_METRIC_SUFFIXES: Final = ("_bucket", "_sum", "_count", "_created")


class Page(NamedTuple):
    """A Markdown file, its code taken apart from its prose."""

    path: str
    prose: list[tuple[int, str]]
    """(line number, line) outside of fences, inline code blanked."""
    code: list[tuple[int, str]]
    """(line number, line) of fences, and each inline code span."""


def pages(tree: Tree) -> Iterator[Page]:
    """Every Markdown file."""
    for path in tree.files:
        if path.endswith(".md"):
            yield _page(path, (tree.root / path).read_text())


def links(tree: Tree) -> list[str]:
    """Each relative link leads to a file or folder of the tree, and each anchor to a heading."""
    headings = {page.path: _anchors(page) for page in pages(tree)}
    broken = []
    for page in pages(tree):
        for number, line in page.prose:
            for found in _LINK.finditer(line):
                target, _, anchor = unquote(found[1] or found[2]).partition("#")
                if re.match(r"[a-z][a-z+.-]*:", target):
                    continue
                file = (tree.root / page.path).parent / target if target else tree.root / page.path
                if not file.exists():
                    broken.append(f"{page.path}:{number}: {target} is not there")
                elif anchor and file.suffix == ".md":
                    path = file.resolve().relative_to(tree.root.resolve()).as_posix()
                    if anchor not in headings.get(path, ()):
                        broken.append(f"{page.path}:{number}: {path} has no heading #{anchor}")
    return broken


def settings_named(tree: Tree, known: Collection[str]) -> list[str]:
    """Each `LIVECOMMENTS_…` in pages, charts and dashboards is a setting, or the beginning of some (`…_JWT_`)."""
    return _unknown_names(tree, r"\bLIVECOMMENTS_[A-Z0-9_]+", known, "setting")


def metrics_named(tree: Tree, known: Collection[str]) -> list[str]:
    """Each `livecomments_…` in pages, charts and dashboards is a metric, its samples, or the beginning of some."""
    samples = {name + suffix for name in known for suffix in ("", *_METRIC_SUFFIXES)}
    return _unknown_names(tree, rf"\blivecomments_(?!(?:{_PACKAGES})\b)[a-z0-9_]+", samples, "metric")


def commands_named(tree: Tree, known: Mapping[str, Collection[str]]) -> list[str]:
    """Each `livecomments …` in a page's code is a command with options that it has, and each command is named.

    Args:
        tree: where the pages are.
        known: command → its options.
    """
    broken, named = [], set()
    for page in pages(tree):
        for number, line in page.code:
            for part in re.split(r"&&|\|\|?|;", line):
                found = _COMMAND.match(part.strip())
                if not found or found["rest"].startswith("-"):
                    continue
                words = shlex.split(found["rest"], comments=True)
                command = next((each for each in (" ".join(words[:2]), " ".join(words[:1])) if each in known), None)
                if command is None:
                    broken.append(f"{page.path}:{number}: livecomments has no command {' '.join(words[:1])}")
                    continue
                named.add(command)
                options = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
                broken += [
                    f"{page.path}:{number}: livecomments {command} has no option {option}"
                    for option in sorted(options - set(known[command]))
                ]
    return broken + [f"no page names the command livecomments {command}" for command in sorted(set(known) - named)]


def targets_named(tree: Tree) -> list[str]:
    """Each `make …` in a page's code is a target."""
    file = tree.root / "Makefile"
    targets = set(re.findall(r"^([a-z]+):", file.read_text(), re.MULTILINE)) if file.exists() else set()
    return [
        f"{page.path}:{number}: make has no target {found['target']}"
        for page in pages(tree)
        for number, line in page.code
        for part in re.split(r"&&|\|\|?|;", line)
        if (found := _MAKE.match(part.strip())) and found["target"] not in targets
    ]


def dependencies_named(tree: Tree) -> list[str]:
    """docs/DEPENDENCIES.md gives a reason for each dependency of pyproject.toml, and for no other."""
    project = tomllib.loads((tree.root / "pyproject.toml").read_text())
    wanted = [
        *project["project"].get("dependencies", ()),
        *(each for extra in project["project"].get("optional-dependencies", {}).values() for each in extra),
        *(each for group in project.get("dependency-groups", {}).values() for each in group if isinstance(each, str)),
    ]
    declared = {re.split(r"[^\w.-]", each)[0].lower() for each in wanted}
    page = (tree.root / "docs/DEPENDENCIES.md").read_text()
    reasoned = {name.lower() for name in re.findall(r"^\| `([^`]+)` \| *[^\s|]", page, re.MULTILINE)}
    return [
        *(f"docs/DEPENDENCIES.md: no reason for {name}" for name in sorted(declared - reasoned)),
        *(f"docs/DEPENDENCIES.md: {name} is no dependency" for name in sorted(reasoned - declared)),
    ]


def _page(path: str, text: str) -> Page:
    prose: list[tuple[int, str]] = []
    code: list[tuple[int, str]] = []
    fence = ""
    for number, line in enumerate(text.replace("\\\n", " ").splitlines(), 1):
        mark = _FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        elif fence:
            code.append((number, line))
        else:
            prose.append((number, re.sub(r"`[^`]*`", "``", line)))
            code += [(number, span) for span in re.findall(r"`([^`]+)`", line)]
    return Page(path, prose, code)


def _anchors(page: Page) -> set[str]:
    """As GitHub makes them of headings; their code spans, blanked in the prose, are put back."""
    spans: dict[int, list[str]] = {}
    for number, span in page.code:
        spans.setdefault(number, []).append(span)
    anchors = set()
    for number, line in page.prose:
        if line.startswith("#"):
            title = line.lstrip("#").strip()
            for span in spans.get(number, ()):
                title = title.replace("``", span, 1)
            anchors.add(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"))
    return anchors


def _unknown_names(tree: Tree, pattern: str, known: Collection[str], kind: str) -> list[str]:
    broken = []
    for path in tree.files:
        if not path.endswith(_NAMES_KEPT_IN):
            continue
        for number, line in enumerate((tree.root / path).read_text().splitlines(), 1):
            for name in re.findall(pattern, line):
                is_beginning = name.endswith("_") and any(each.startswith(name) for each in known)
                if name not in known and not is_beginning:
                    broken.append(f"{path}:{number}: {name} is no {kind}")
    return broken
