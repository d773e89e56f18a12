"""The rules of the house, each a function from a source tree to the sentences that say where it is broken.

`tests/test_tidy.py` runs them on the checkout, and on small trees with a planted violation each. Each says where it
holds: *ours* is the packages that are shipped, *source* is all Python but the tests, *tests* is `tests/`.
"""

import ast
import fnmatch
import io
import os
import re
import statistics
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

Rule = Callable[["Tree"], list[str]]

OURS: Final = (
    "livecomments_topics",
    "livecomments_schemas",
    "livecomments",
    "livecomments_gateway",
    "livecomments_streams",
    "livecomments_consumers",
    "livecomments_command",
    "livecomments_loadtest",
)
"""The packages that the wheel installs."""
MODULE_LINES_MAX: Final = 400
MODULE_LINES_MEDIAN_MAX: Final = 150
FUNCTION_LINES_MAX: Final = 60
ROOM_SHARE_MAX: Final = 1 / 3
PACKAGE_SHARE_MAX: Final = 0.15
ARGUMENTS_MAX: Final = 6

CONSOLE_DOOR: Final = "livecomments/runtime/console.py"

_PURE: Final = ("livecomments_schemas",)
_GROUND: Final = (*_PURE, "livecomments.runtime", "livecomments.sqlite")
_INTERFACES: Final = (*_GROUND, "livecomments.log", "livecomments.store")
_SHARED: Final = (*_INTERFACES, "livecomments.web", "livecomments.following", "livecomments.history")
_ENGINES: Final = ("livecomments.kafka", "livecomments.cql", "livecomments.embedded")
_SERVICES: Final = ("livecomments_gateway", "livecomments_streams", "livecomments_consumers")

MAY_IMPORT: Final[dict[str, tuple[str, ...]]] = {
    "livecomments_topics": (),
    "livecomments_schemas": (),
    "livecomments": (),
    "livecomments.runtime": _PURE,
    "livecomments.sqlite": (*_PURE, "livecomments.runtime"),
    "livecomments.web": (*_PURE, "livecomments.runtime"),
    "livecomments.log": _GROUND,
    "livecomments.store": _GROUND,
    "livecomments.kafka": _INTERFACES,
    "livecomments.cql": _INTERFACES,
    "livecomments.embedded": _INTERFACES,
    "livecomments.following": _INTERFACES,
    "livecomments.history": (*_INTERFACES, "livecomments.following"),
    "livecomments_gateway": _SHARED,
    "livecomments_streams": (*_SHARED, "livecomments.kafka"),
    "livecomments_consumers": _SHARED,
    "livecomments_loadtest": _PURE,
    "livecomments_command": (*_SHARED, *_ENGINES, *_SERVICES, "livecomments_loadtest"),
}
"""Room → the rooms below it. A room may always import itself; what is shipped imports no tests, infra, bench, chaos."""

IMPURE: Final = frozenset(
    ("asyncio", "io", "logging", "os", "pathlib", "prometheus_client", "random", "secrets", "socket", "sqlite3")
) | {"subprocess", "threading", "time"}
"""What `livecomments_schemas` may not import: it decides by its arguments alone."""
IMPURE_ALL_THE_SAME: Final = {
    (
        "schemas/livecomments_schemas/window.py",
        "secrets",
    ): "nobody can choose colliding keys",
}

READS_ENVIRONMENT: Final = {
    "command/livecomments_command/__main__.py": "hands os.environ to Settings.load, which alone knows its names",
}

DOORS: Final[dict[str, tuple[str, ...]]] = {
    "aiokafka": ("livecomments/kafka/*.py",),
    "cassandra": ("livecomments/cql/*.py",),
    "faust": ("streams/livecomments_streams/faust_*.py",),
    "mode": ("streams/livecomments_streams/faust_*.py",),
    "sqlite3": ("livecomments/sqlite.py", "livecomments/embedded/*.py"),
    "jwt": ("gateway/livecomments_gateway/*.py",),
    "opentelemetry": ("livecomments/runtime/tracing.py",),
}
"""Library → the modules of ours that know it: untyped, heavy, or one whose use must stay in one place."""

IMPORTED_AS: Final = {
    "durable-streams": ("durable_streams",),
    "faust-streaming": ("faust", "mode"),
    "grafana-foundation-sdk": ("grafana_foundation_sdk",),
    "helm-python-sdk": ("helm_python",),
    "httpx-sse": ("httpx_sse",),
    "opentelemetry-exporter-otlp-proto-http": ("opentelemetry",),
    "opentelemetry-sdk": ("opentelemetry",),
    "prometheus-client": ("prometheus_client",),
    "pyjwt": ("jwt",),
    "pytest": ("pytest", "_pytest"),
    "pytest-asyncio": ("pytest_asyncio",),
    "pyyaml": ("yaml",),
    "scylla-driver": ("cassandra",),
}
"""Distribution → the modules it brings, where they are named otherwise."""

CATCHES_ALL: Final = {"livecomments/web/door.py": "an exchange lets out nothing that its application raises"}
"""Modules whose tasks need nobody to supervise them, with the reason."""

BANNED_NAMES: Final = frozenset(
    ("Manager", "Service", "Handler", "Helper", "Util", "Utils", "Impl", "Base", "Data", "Info")
)
FIXED_VERBS: Final = frozenset(("begin_drain", "drain", "aclose"))
"""Their meaning is the same everywhere (CONTRIBUTING.md), so that they need no docstring of their own."""
INTERFACES: Final = frozenset(("Protocol", "ABC"))
NO_ORDER: Final = re.compile(
    "`|(A|After|All|An|As|Before|Behind|Between|Both|Each|Every|Everything|For|From|How|In|Its|Never|Nobody|Nothing|Of"
    r"|Once|One|Our|Says|So|Some|Something|The|Their|These|They|This|Those|Until|Up|Wh(at|en|ere|ether|ich|o|y)|With)\b"
)
"""How a sentence begins that tells what is so, and not what to do; a linter knows verbs alone."""
SAY_NOTHING: Final = frozenset(("typing", "abc", "enum", "collections", "dataclasses"))
"""Libraries whose classes don't speak for the methods of their heirs."""

_DIRECTIVE: Final = re.compile(
    r"#\s*(?P<bare>type:\s*ignore(?!\[)|(ruff:\s*)?noqa(?!:\s*[A-Z]))"
    r"|#\s*(type:\s*ignore\[[\w, -]*\]|(ruff:\s*)?noqa:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)"
    r"|#\s*(pragma:\s*no \w+|mypy:\s*[\w=-]+)"
)
# In two halves, so that this file obeys its own rule.
_MACHINE_PATH: Final = re.compile(r"(?<![\w.~-])/" + r"(?:work|root)/(?=\w)|/tmp/" + r"bash_jobs")
_TOPIC_NAME: Final = re.compile(r"comments-(\d*|%[ds]|\{\w*\}|dead-letter)|session-(revocations)?|livecomments-epochs")
_TESTS_PATH: Final = re.compile(r"(.*[/\\])?tests([/\\][\w./-]*)?")
"""A text that is nothing but a path in `tests/`; a sentence may name one."""
_SCRIPT_METADATA: Final = re.compile(r"# /// script\n((?:#.*\n)+?)# ///\n")
"""The block at the beginning of a script that says what it needs, as installers read it."""
_IMPORTERS: Final = ("import_module", "__import__")
_SKIPPED_DIRS: Final = frozenset(("node_modules", "__pycache__", "build", "dist", "data"))


@dataclass(frozen=True)
class Module:
    """One Python file: its path in the tree, its text and its syntax."""

    path: str
    text: str

    @cached_property
    def syntax(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text)

    @property
    def name(self) -> str:
        """As it is imported: `livecomments.log` for its `__init__.py`."""
        return _import_path(self.path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_ours(self) -> bool:
        """Whether it is shipped."""
        return _import_path(self.path).split("/")[0].removesuffix(".py") in OURS

    @property
    def is_test(self) -> bool:
        """Whether it is under `tests/`."""
        return self.path.startswith("tests/")

    def brings(self) -> set[str]:
        """Distributions that a script declares for itself; nothing of ours may."""
        found = None if self.is_ours else _SCRIPT_METADATA.match(self.text)
        said = "" if found is None else re.sub(r"(?m)^# ?", "", found[1])
        return _distributions([tomllib.loads(said).get("dependencies", [])])

    def imports(self) -> Iterator[tuple[str, str, int]]:
        """(module, member or "", line) of every import, wherever in the file it stands."""
        for node in ast.walk(self.syntax):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "", node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((self._absolute(node), alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in _IMPORTERS:
                named = [each for each in node.args[:1] if isinstance(each, ast.Constant)]
                yield from ((str(each.value), "", node.lineno) for each in named)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = _import_path(self.path).split("/")[: -node.level]
        return ".".join([*package, *([node.module] if node.module else [])])


@dataclass(frozen=True)
class Tree:
    """The files of a checkout, or of a directory that is none."""

    root: Path

    @cached_property
    def files(self) -> list[str]:
        """Paths relative to the root; in a checkout those that git knows or would add."""
        if (self.root / ".git").exists():
            listed = subprocess.run(
                ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
                cwd=self.root,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split("\0")
            return sorted(path for path in set(listed) if path and (self.root / path).is_file())
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [
                name for name in folders if name == ".ci" or not (name.startswith(".") or name in _SKIPPED_DIRS)
            ]
            found += [(Path(folder) / name).relative_to(self.root).as_posix() for name in names]
        return sorted(found)

    @cached_property
    def modules(self) -> list[Module]:
        """Every Python file."""
        return [Module(path, (self.root / path).read_text()) for path in self.files if path.endswith(".py")]

    @property
    def ours(self) -> list[Module]:
        """Those that are shipped."""
        return [module for module in self.modules if module.is_ours]

    @property
    def source(self) -> list[Module]:
        """All but the tests."""
        return [module for module in self.modules if not module.is_test]

    @property
    def tests(self) -> list[Module]:
        """The tests and what they share."""
        return [module for module in self.modules if module.is_test]


def floors(tree: Tree) -> list[str]:
    """Ours: imports run one way, downward, and `schemas` is pure."""
    others = {_import_path(path).split("/")[0] for path in tree.files if path.endswith(".py")} - set(OURS)
    broken = []
    for module in tree.ours:
        room = _room(module.name)
        for imported, member, line in module.imports():
            target = _room(f"{imported}.{member}" if imported == "livecomments" else imported)
            if room not in MAY_IMPORT:
                broken.append(f"{module.path}:{line}: {room} is no room of MAY_IMPORT")
            elif target.split(".")[0] in OURS and target != room and target not in MAY_IMPORT[room]:
                broken.append(f"{module.path}:{line}: {room} may not import {target}")
            elif imported.split(".")[0] in others:
                broken.append(f"{module.path}:{line}: what is shipped may not import {imported}")
            elif _is_impure(module, imported):
                broken.append(f"{module.path}:{line}: {room} is pure and may not import {imported}")
    return broken


def cycles(tree: Tree) -> list[str]:
    """Source: no module imports itself by way of others, not even inside a function or for types alone."""
    names = {module.name: module for module in tree.source}
    edges = {name: _targets(module, names) for name, module in names.items()}
    state: dict[str, int] = {}
    broken: list[str] = []

    def visit(name: str, path: list[str]) -> None:
        state[name] = 1
        for target in sorted(edges[name]):
            if state.get(target) == 1:
                broken.append(" → ".join([*path[path.index(target) :], target]) + ": an import cycle")
            elif target not in state:
                visit(target, [*path, target])
        state[name] = 2

    for name in sorted(edges):
        if name not in state:
            visit(name, [name])
    return broken


def lengths(tree: Tree) -> list[str]:
    """Source: a module and a function fit into a head. Tests are lists, and may be long."""
    broken = []
    for module in tree.source:
        lines = len(module.text.splitlines())
        if lines > MODULE_LINES_MAX:
            broken.append(f"{module.path}: {lines} lines, at most {MODULE_LINES_MAX}")
        for node in _functions(module):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                broken.append(f"{module.path}:{node.lineno}: {node.name}: {lines} lines, at most {FUNCTION_LINES_MAX}")
    return broken


def median_length(tree: Tree) -> list[str]:
    """Source: most modules fit into a head easily."""
    median = statistics.median([len(module.text.splitlines()) for module in tree.source] or [0])
    limit = MODULE_LINES_MEDIAN_MAX
    return [f"half of all modules have {median:.0f} lines or more, at most {limit}"] if median > limit else []


def shares(tree: Tree) -> list[str]:
    """Source: no room is so large that it is the house: a third of all lines at most, 15 % in a package within one."""
    lines = Counter[str]()
    for module in tree.source:
        room, *within = module.path.split("/")[:-1] or ("",)
        package = [one for one in within if not one.startswith("livecomments_")][:1]
        for folder in (room, "/".join((room, *package))) if package else (room,):
            lines[folder] += len(module.text.splitlines())
    total = sum(count for folder, count in lines.items() if "/" not in folder)
    bounds = {folder: PACKAGE_SHARE_MAX if "/" in folder else ROOM_SHARE_MAX for folder in lines}
    return [
        f"{folder}: {lines[folder] / total:.0%} of all lines, at most {most:.0%}"
        for folder, most in bounds.items()
        if lines[folder] > most * total
    ]


def environment(tree: Tree) -> list[str]:
    """Ours: the environment is read in one place; all else gets `Settings`."""
    broken = []
    for module in tree.ours:
        if module.path in READS_ENVIRONMENT:
            continue
        names = {"environ", "environb", "getenv", "getenvb"}
        lines = {
            node.lineno
            for node in ast.walk(module.syntax)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
            if node.attr in names
        }
        lines |= {line for imported, member, line in module.imports() if imported == "os" and member in names}
        broken += [f"{module.path}:{line}: reads the environment; take Settings instead" for line in sorted(lines)]
    return broken


def doors(tree: Tree) -> list[str]:
    """Ours: each untyped or heavy library has one door."""
    return [
        f"{module.path}:{line}: only {', '.join(DOORS[library])} may import {library}"
        for module in tree.ours
        for library, line in sorted({(imported.split(".")[0], line) for imported, _, line in module.imports()})
        if library in DOORS and not any(fnmatch.fnmatch(module.path, pattern) for pattern in DOORS[library])
    ]


def consoles(tree: Tree) -> list[str]:
    """Source: what is printed stands as it is, with no markup and no emoji of other people's text."""
    return [
        f"{module.path}:{node.lineno}: {said}; take livecomments.runtime.console"
        for module in tree.source
        if module.path != CONSOLE_DOOR
        for node in ast.walk(module.syntax)
        if isinstance(node, ast.Call | ast.ImportFrom) and (said := _marks_up(node))
    ]


def dependencies(tree: Tree) -> list[str]:
    """Everywhere: what is imported is declared in pyproject.toml, not just brought along; ours use all of theirs.

    A script with an environment of its own declares what it needs in its first lines (inline script metadata).
    """
    file = tomllib.loads((tree.root / "pyproject.toml").read_text())
    extras = file["project"].get("optional-dependencies", {})
    to_run = _distributions([file["project"].get("dependencies", []), *extras.values()])
    to_develop = to_run | _distributions(file.get("dependency-groups", {}).values())
    local = {_import_path(path).split("/")[0].removesuffix(".py") for path in tree.files if path.endswith(".py")}
    broken, imported_by_ours = [], set()
    for module in tree.modules:
        declared = to_run if module.is_ours else to_develop
        modules = {name for each in declared for name in IMPORTED_AS.get(each, (each,))} | module.brings()
        imports = {imported.split(".")[0]: line for imported, _, line in module.imports()}
        broken += [
            f"{module.path}:{imports[name]}: {name} is no dependency of pyproject.toml"
            for name in sorted(set(imports) - modules - local - sys.stdlib_module_names)
        ]
        imported_by_ours |= set(imports) if module.is_ours else set()
    idle = {each for each in to_run if not imported_by_ours.intersection(IMPORTED_AS.get(each, (each,)))}
    return broken + [f"pyproject.toml: nothing imports {name}" for name in sorted(idle)]


def docstrings(tree: Tree) -> list[str]:
    """Source: public modules, classes, functions and methods say what their types cannot.

    Excused are properties, the verbs whose meaning is fixed, what returns one expression, and a method for which an
    interface, a documented class above it, or a library's class speaks.
    """
    documented = _documented_methods(tree)
    of_the_tree = {module.name.split(".")[0] for module in tree.modules}
    broken = []
    for module in tree.source:
        if not (ast.get_docstring(module.syntax) or "").strip(". \n"):
            broken.append(f"{module.path}:1: the module has no docstring")
        for node in module.syntax.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node) and not _speaks_for_itself(node):
                broken.append(f"{module.path}:{node.lineno}: {node.name} has no docstring")
            if isinstance(node, ast.ClassDef):
                broken += [
                    f"{module.path}:{method.lineno}: {node.name}.{method.name} has no docstring"
                    for method in _undocumented_methods(node)
                    if method.name not in documented and not _inherits_from_elsewhere(node, module, of_the_tree)
                ]
    return broken


def mood(tree: Tree) -> list[str]:
    """Source: what a function's docstring says first is what it is told to do. A property is described."""
    return [
        f"{module.path}:{node.lineno}: {node.name}: begin with a verb, not with {found[0]!r}"
        for module in tree.source
        for node in _functions(module)
        if not any(ast.unparse(each).endswith(("property", ".setter")) for each in node.decorator_list)
        if (found := NO_ORDER.match(ast.get_docstring(node) or ""))
    ]


def rooms(tree: Tree) -> list[str]:
    """Source: the door of a room (`__init__.py`) names every file in it, and no file that is not there.

    Files are named in back quotes: anywhere in the docstring for the first half; in its list (`- `name`: …`) for the
    second. A folder stands for what is in it.
    """
    broken = []
    for module in tree.source:
        if not module.path.endswith("/__init__.py"):
            continue
        room = module.path.removesuffix("__init__.py")
        inside = {path.removeprefix(room).split("/")[0] for path in tree.files if path.startswith(room)}
        names = {entry.removesuffix(".py") for entry in inside - {"__init__.py"}}
        doc = ast.get_docstring(module.syntax) or ""
        mentioned = {_file_named(word) for word in re.findall(r"`([^`]+)`", doc)}
        listed = {_file_named(word) for line in _bullets(doc) for word in re.findall(r"`([^`]+)`", line)}
        broken += [f"{module.path}: does not name `{name}`" for name in sorted(names - mentioned)]
        broken += [f"{module.path}: names `{name}`, which is not there" for name in sorted(listed - names)]
    return broken


def names(tree: Tree) -> list[str]:
    """Everywhere: no class is called by a word that says nothing."""
    return [
        f"{module.path}:{node.lineno}: {node.name}: no {word}, say what it is"
        for module in tree.modules
        for node in ast.walk(module.syntax)
        if isinstance(node, ast.ClassDef)
        for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", node.name)
        if word in BANNED_NAMES
    ]


def reasons(tree: Tree) -> list[str]:
    """Everywhere: whoever silences a tool says which rule and why, behind it or in a comment right above."""
    broken = []
    for module in tree.modules:
        comments = {token.start[0]: token for token in _comments(module.text)}
        for line, token in comments.items():
            found = _DIRECTIVE.search(token.string)
            if not found:
                continue
            above = comments.get(line - 1)
            reason = _DIRECTIVE.sub("", token.string) + (above.string if above and _stands_alone(above) else "")
            if found["bare"]:
                broken.append(f"{module.path}:{line}: {found[0]}: without the rule it silences")
            elif not re.search(r"[^\W\d_]{4}", reason):
                broken.append(f"{module.path}:{line}: {found[0]}: without a reason")
    return broken


def machine_paths(tree: Tree) -> list[str]:
    """Every file: nothing that exists on one machine only."""
    broken = []
    for path in tree.files:
        try:
            text = (tree.root / path).read_text()
        except UnicodeDecodeError:
            continue
        broken += [
            f"{path}:{number}: a path of one machine: {found[0]}"
            for number, line in enumerate(text.splitlines(), 1)
            if (found := _MACHINE_PATH.search(line))
        ]
    return broken


def sleeping(tree: Tree) -> list[str]:
    """Tests: no sleeping but between two looks at a condition (`while not …:`). `asyncio.sleep(0)` lets others run."""
    broken = []
    for module in tree.tests:
        polls = {
            id(inner)
            for loop in ast.walk(module.syntax)
            if isinstance(loop, ast.While) and not isinstance(loop.test, ast.Constant)
            for inner in ast.walk(loop)
        }
        broken += [
            f"{module.path}:{node.lineno}: pass a clock, or wait for a condition with a bound"
            for node in ast.walk(module.syntax)
            if isinstance(node, ast.Call) and id(node) not in polls and _sleeps(node)
        ]
    return broken


def mocking(tree: Tree) -> list[str]:
    """Tests: no mocks; the embedded log and store are the fakes, and seams are arguments."""
    return [
        f"{module.path}:{line}: no mocks: use the embedded implementation or an argument"
        for module in tree.tests
        for imported, member, line in module.imports()
        if imported in ("unittest.mock", "mock") or (imported, member) == ("unittest", "mock")
    ]


def splats(tree: Tree) -> list[str]:
    """Source: no `*(a, b)` of what is written out there and then: it only bends lines around a limit."""
    return [
        f"{module.path}:{node.lineno}: write these out, one a line, or make a value of them"
        for module in tree.source
        for node in ast.walk(module.syntax)
        if isinstance(node, ast.Starred) and isinstance(node.value, ast.Tuple | ast.List | ast.Set)
    ]


def arguments(tree: Tree) -> list[str]:
    """Source: whoever calls a function by position need not count. Options of a command are called by name."""
    broken = []
    for module in tree.source:
        for node in _functions(module):
            given = [each for each in (*node.args.posonlyargs, *node.args.args) if each.arg not in ("self", "cls")]
            is_command = any(each.annotation and "typer." in ast.unparse(each.annotation) for each in given)
            if len(given) > ARGUMENTS_MAX and not is_command:
                broken.append(
                    f"{module.path}:{node.lineno}: {node.name}: {len(given)} positional arguments, at most "
                    f"{ARGUMENTS_MAX}; make a value of what belongs together"
                )
    return broken


def class_names(tree: Tree) -> list[str]:
    """Ours: a class's name is its own, so that who searches for it, or reads it, has one answer."""
    by_name: dict[str, list[str]] = {}
    for module in tree.ours:
        for node in ast.walk(module.syntax):
            if isinstance(node, ast.ClassDef):
                by_name.setdefault(node.name.lstrip("_").lower(), []).append(f"{module.path}:{node.lineno}")
    return [f"{', '.join(places)}: share the name {name}" for name, places in by_name.items() if len(places) > 1]


def topic_names(tree: Tree) -> list[str]:
    """Source: a topic is spelt in one place, `livecomments.log.topics`; everybody else imports its name."""
    return [
        f"{module.path}:{node.lineno}: {node.value!r}: a topic's name; take it from livecomments.log.topics"
        for module in tree.source
        if module.name != "livecomments.log.topics"
        for node in ast.walk(module.syntax)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _TOPIC_NAME.fullmatch(node.value)
    ]


def reads_tests(tree: Tree) -> list[str]:
    """Ours: what is shipped opens nothing of `tests/`, which stays in the checkout."""
    return [
        f"{module.path}:{node.lineno}: {node.value!r}: is not shipped; make it a package's data"
        for module in tree.ours
        for node in ast.walk(module.syntax)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _TESTS_PATH.fullmatch(node.value)
    ]


def supervised(tree: Tree) -> list[str]:
    """Source: no task is started that nobody supervises: a failure in it must reach somebody.

    A task group does it. Else the task is awaited, or held by a name that its module awaits, asks for its result or
    gives a callback that does more than to forget it; or what it runs catches every `Exception` itself.
    """
    broken = []
    for module in tree.source:
        locally = _names_looked_after(module.syntax)
        awaited = {
            id(inner) for node in ast.walk(module.syntax) if isinstance(node, ast.Await) for inner in ast.walk(node)
        }
        holders, groups = _holders(module.syntax), _task_groups(module.syntax)
        for node in ast.walk(module.syntax):
            if not isinstance(node, ast.Call) or not _starts_a_task(node, groups) or id(node) in awaited:
                continue
            held = holders.get(id(node), set())
            if module.path in CATCHES_ALL or held & locally:
                continue
            if not _catches_all(node.args[:1], module.syntax):
                broken.append(f"{module.path}:{node.lineno}: nobody supervises this task: use a TaskGroup, or await it")
    return broken


def packages(tree: Tree) -> list[str]:
    """Tests: each folder of tests is a package, so that two rooms may have a `test_embedded.py`."""
    folders = {module.path.rpartition("/")[0] for module in tree.tests}
    return [f"{folder}: has no __init__.py" for folder in sorted(folders) if f"{folder}/__init__.py" not in tree.files]


RULES: Final[tuple[Rule, ...]] = (
    floors,
    cycles,
    lengths,
    median_length,
    shares,
    environment,
    doors,
    docstrings,
    mood,
    rooms,
    names,
    reasons,
    machine_paths,
    sleeping,
    mocking,
    dependencies,
    packages,
    reads_tests,
    supervised,
    splats,
    arguments,
    class_names,
    topic_names,
    consoles,
)


def _marks_up(node: ast.Call | ast.ImportFrom) -> str:
    """What of rich would take a text for more than its characters, if this does."""
    if isinstance(node, ast.ImportFrom):
        is_print = node.module == "rich" and any(each.name == "print" for each in node.names)
        return "rich.print marks up what it prints" if is_print else ""
    named = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    given = {each.arg: ast.unparse(each.value) for each in node.keywords}
    if named in ("Console", "from_markup", "emojize") or (named == "TextColumn" and given.get("markup") != "False"):
        return f"{named} marks up what it is given"
    return next((f"{name} is turned on" for name in ("markup", "emoji") if given.get(name, "False") != "False"), "")


_LOOKS_AFTER: Final = ("result", "exception")
_FORGETS: Final = (".discard", ".remove", ".clear")
"""Callbacks that only let go of a task: whatever it raised reaches nobody."""


def _starts_a_task(node: ast.Call, groups: set[str]) -> bool:
    """Whether a call starts a task that belongs to none of these groups."""
    holder, _, called = ast.unparse(node.func).rpartition(".")
    if called == "create_task":
        return holder.split(".")[-1] not in groups
    return called in ("ensure_future", "run_coroutine_threadsafe")


def _task_groups(syntax: ast.Module) -> set[str]:
    """The names by which a module holds task groups: of a `with` or an annotation."""
    found: set[str] = set()
    for node in ast.walk(syntax):
        if isinstance(node, ast.withitem) and node.optional_vars and "TaskGroup" in ast.unparse(node.context_expr):
            found.update(_last_names(node.optional_vars))
        elif isinstance(node, ast.arg) and node.annotation and "TaskGroup" in ast.unparse(node.annotation):
            found.add(node.arg)
    return {name.lstrip(".") for name in found}


def _holders(syntax: ast.Module) -> dict[int, set[str]]:
    """Each node in the value of an assignment → the names and attributes assigned to."""
    found: dict[int, set[str]] = {}
    for node in ast.walk(syntax):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {name for target in targets for name in _last_names(target)}
            for inner in ast.walk(node.value):
                found.setdefault(id(inner), set()).update(names)
    return found


def _last_names(target: ast.expr) -> Iterator[str]:
    if isinstance(target, ast.Tuple):
        for one in target.elts:
            yield from _last_names(one)
    elif isinstance(target, ast.Attribute):
        yield f".{target.attr}"
    elif isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, ast.Subscript):
        yield from _last_names(target.value)


def _names_looked_after(syntax: ast.Module) -> set[str]:
    """Names (`x`) and attributes (`.x`) that are awaited, asked for their result, or given a callback."""
    found: set[str] = set()
    for node in ast.walk(syntax):
        looked_at: ast.expr | None = None
        if isinstance(node, ast.Await) or (isinstance(node, ast.Attribute) and node.attr in _LOOKS_AFTER):
            looked_at = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            forgets = any(ast.unparse(each).endswith(_FORGETS) for each in node.args)
            looked_at = node.func.value if node.func.attr == "add_done_callback" and not forgets else None
        for inner in ast.walk(looked_at) if looked_at is not None else ():
            if isinstance(inner, ast.Name | ast.Attribute):
                found.update(_last_names(inner))
    return found


def _catches_all(arguments: Iterable[ast.expr], syntax: ast.Module) -> bool:
    """Whether what runs is a function of this module that is one `try` with an `except Exception`, or wider."""
    names = {
        ast.unparse(call.func).split(".")[-1]
        for argument in arguments
        for call in ast.walk(argument)
        if isinstance(call, ast.Call)
    }
    for node in ast.walk(syntax):
        if isinstance(node, ast.AsyncFunctionDef) and node.name in names:
            body = [each for each in node.body if not isinstance(each, ast.Expr)]
            for each in body:
                caught = {
                    ast.unparse(one.type) if one.type else "BaseException" for one in getattr(each, "handlers", ())
                }
                if isinstance(each, ast.Try) and len(body) == 1 and caught & {"Exception", "BaseException"}:
                    return True
    return False


def _import_path(path: str) -> str:
    """A file's path from the directory on the import path: a package of ours may lie in a room of another name."""
    parts = path.split("/")
    return "/".join(next((parts[i:] for i, part in enumerate(parts[:-1]) if part in OURS), parts))


def _room(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "livecomments" else parts[0]


def _distributions(lists: Iterable[Iterable[object]]) -> set[str]:
    """The names in lists of requirements."""
    return {re.split(r"[^\w.-]", each)[0].lower() for one in lists for each in one if isinstance(each, str)}


def _is_impure(module: Module, imported: str) -> bool:
    impure = _room(module.name) in _PURE and imported.split(".")[0] in IMPURE
    return impure and (module.path, imported) not in IMPURE_ALL_THE_SAME


def _targets(module: Module, names: Iterable[str]) -> set[str]:
    found = set()
    for imported, member, _ in module.imports():
        target = f"{imported}.{member}"
        found.add(target if target in names else imported)
    return found & set(names) - ({module.name} if not module.path.endswith("__init__.py") else set())


def _functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _speaks_for_itself(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A function that returns one expression, a property, an overload."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if any(word.endswith(("property", ".setter", "overload")) for word in decorators):
        return True
    return not decorators and len(node.body) == 1 and isinstance(node.body[0], ast.Return)


def _methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def _undocumented_methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for method in _methods(node):
        excused = method.name.startswith("_") or method.name in FIXED_VERBS or _speaks_for_itself(method)
        if not excused and not ast.get_docstring(method):
            yield method


def _classes(tree: Tree) -> Iterator[ast.ClassDef]:
    for module in tree.source:
        yield from (node for node in module.syntax.body if isinstance(node, ast.ClassDef))


def _base_names(node: ast.ClassDef) -> list[str]:
    return [re.sub(r"\[.*", "", ast.unparse(base)).split(".")[-1] for base in node.bases]


def _documented_methods(tree: Tree) -> set[str]:
    """Methods that some interface of the tree, or a class that others inherit from, documents."""
    inherited = {name for node in _classes(tree) for name in _base_names(node)}
    return {
        method.name
        for node in _classes(tree)
        if node.name in inherited or INTERFACES.intersection(_base_names(node))
        for method in _methods(node)
        if ast.get_docstring(method)
    }


def _inherits_from_elsewhere(node: ast.ClassDef, module: Module, of_the_tree: set[str]) -> bool:
    """Whether a library's class speaks for its methods."""
    imported = {}
    for library, member, _ in module.imports():
        imported[member or library.split(".")[0]] = library.split(".")[0]
    origins = {imported.get(ast.unparse(base).split(".")[0].split("[")[0], "") for base in node.bases}
    return bool(origins - of_the_tree - SAY_NOTHING - {""})


def _bullets(doc: str) -> Iterator[str]:
    """What stands before the colon in each item of a docstring's list."""
    for line in doc.splitlines():
        if line.startswith("- `"):
            yield re.split(r":(?= |$)", line)[0]


def _file_named(word: str) -> str:
    return word.rstrip("/").removesuffix(".py")


def _comments(text: str) -> Iterator[tokenize.TokenInfo]:
    return (token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT)


def _stands_alone(comment: tokenize.TokenInfo) -> bool:
    return comment.line.lstrip().startswith("#") and not _DIRECTIVE.search(comment.string)


def _sleeps(node: ast.Call) -> bool:
    called = ast.unparse(node.func)
    if called == "time.sleep":
        return True
    argument = node.args[0] if node.args else None
    return called in ("asyncio.sleep", "sleep") and isinstance(argument, ast.Constant) and argument.value != 0
