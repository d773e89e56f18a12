"""The rules of the house hold in this checkout, and each of them bites."""

from pathlib import Path

import pytest

from tests.tidy import (
    ARGUMENTS_MAX,
    DOORS,
    FUNCTION_LINES_MAX,
    MODULE_LINES_MAX,
    READS_ENVIRONMENT,
    RULES,
    Rule,
    Tree,
    arguments,
    class_names,
    consoles,
    cycles,
    dependencies,
    docstrings,
    doors,
    environment,
    floors,
    lengths,
    machine_paths,
    median_length,
    mocking,
    mood,
    names,
    packages,
    reads_tests,
    reasons,
    rooms,
    shares,
    sleeping,
    splats,
    supervised,
    topic_names,
)

CHECKOUT = Tree(Path(__file__).parents[1])
DOC = '"""What it is."""\n'
PROJECT = '[project]\ndependencies = ["pyjwt>=2"]\n[dependency-groups]\ndev = ["aiohttp>=3"]'
ROOM = '"""A room.\n\n- `tail`: the newest records.\n"""\n'
# Taken apart, so that this file obeys the rules that it tests.
NOQA, IGNORE, PRAGMA, WORK = "# no" + "qa", "# type: " + "ignore", "# pragma: " + "no cover", "/wo" + "rk/"

HALVES = {f"{room}/livecomments_{room}/a.py": "x = 1\n" * 22 for room in ("gateway", "streams", "consumers")}
MANY = ", ".join(f"a{number}" for number in range(ARGUMENTS_MAX))
PROTOCOL = f"{DOC}from typing import Protocol\nclass App(Protocol):\n    {DOC}    def serve(self): "

Planted = tuple[Rule, dict[str, str], str]

VIOLATIONS: list[Planted] = [
    (consoles, {"livecomments/a.py": f"{DOC}from rich.console import Console\nConsole().print(1)"}, "Console marks up"),
    (consoles, {"infra/a.py": f"{DOC}import rich.console\nrich.console.Console()"}, "Console marks up"),
    (consoles, {"livecomments/a.py": f"{DOC}say.print(text, markup=True)"}, "markup is turned on"),
    (consoles, {"livecomments/a.py": f"{DOC}say.print(text, emoji=is_on)"}, "emoji is turned on"),
    (consoles, {"chaos/a.py": f"{DOC}columns = [TextColumn('{{task.description}}')]"}, "TextColumn marks up"),
    (consoles, {"chaos/a.py": f"{DOC}columns = [TextColumn('{{task.description}}', markup=False)]"}, ""),
    (consoles, {"bench/a.py": f"{DOC}from rich import print"}, "rich.print marks up"),
    (consoles, {"livecomments/a.py": f"{DOC}say = plain_console()\nsay.print(text, style='red')"}, ""),
    (
        floors,
        {"livecomments_schemas/ids.py": "from livecomments.runtime.settings import Settings"},
        "may not import livecomments.runtime",
    ),
    (floors, {"livecomments_schemas/ids.py": "def now():\n    import time"}, "livecomments_schemas is pure"),
    (floors, {"livecomments/runtime/logs.py": "import livecomments.log.tail"}, "may not import livecomments.log"),
    (floors, {"livecomments/log/tail.py": "from livecomments import store"}, "may not import livecomments.store"),
    (floors, {"livecomments/log/tail.py": "from ..store import interface"}, "may not import livecomments.store"),
    (floors, {"livecomments/cql/store.py": "import livecomments.history"}, "may not import livecomments.history"),
    (
        floors,
        {"livecomments/history/pages.py": "from livecomments_gateway.app import App"},
        "may not import livecomments_gateway",
    ),
    (
        floors,
        {"livecomments_gateway/app.py": "from livecomments_consumers.hub import Hub"},
        "may not import livecomments_consumers",
    ),
    (
        floors,
        {"livecomments_streams/job.py": "import livecomments_command.demo"},
        "may not import livecomments_command",
    ),
    (floors, {"livecomments/kafka/log.py": "import livecomments_streams"}, "may not import livecomments_streams"),
    (floors, {"livecomments/log/tail.py": "import chaos.faults", "chaos/faults.py": ""}, "may not import chaos"),
    (floors, {"livecomments_consumers/a.py": "import livecomments_loadtest.run"}, "may not import"),
    (floors, {"livecomments_loadtest/run.py": "import livecomments_gateway.app"}, "may not import"),
    (
        floors,
        {"livecomments/history/pages.py": "import importlib\nimportlib.import_module('livecomments_gateway.app')"},
        "may not import livecomments_gateway",
    ),
    (floors, {"livecomments/util/texts.py": ""}, ""),
    (floors, {"livecomments/util/texts.py": "import re"}, "is no room"),
    (
        floors,
        {"livecomments_consumers/hub.py": "from tests.fakes import Log", "tests/fakes.py": ""},
        "may not import tests",
    ),
    (
        cycles,
        {
            "livecomments_gateway/a.py": "import livecomments_gateway.b",
            "livecomments_gateway/b.py": "from livecomments_gateway import a",
        },
        "livecomments_gateway.a → livecomments_gateway.b → livecomments_gateway.a",
    ),
    (
        cycles,
        {
            "livecomments_gateway/__init__.py": "from livecomments_gateway.a import A",
            "livecomments_gateway/a.py": "from livecomments_gateway import B",
        },
        "an import cycle",
    ),
    (lengths, {"livecomments_gateway/long.py": "x = 1\n" * MODULE_LINES_MAX}, ""),
    (lengths, {"livecomments_gateway/long.py": "x = 1\n" * (MODULE_LINES_MAX + 1)}, "401 lines"),
    (lengths, {"infra/long.py": "def long():\n" + "    x = 1\n" * FUNCTION_LINES_MAX}, "long: 61 lines"),
    (
        lengths,
        {"livecomments_gateway/long.py": "class A:\n  async def long():\n" + "    x = 1\n" * FUNCTION_LINES_MAX},
        "long: 61 lines",
    ),
    (lengths, {"tests/test_long.py": "x = 1\n" * 1_000}, ""),
    (
        environment,
        {"livecomments_gateway/app.py": "import os\nport = os.environ['PORT']"},
        "app.py:2: reads the environment",
    ),
    (
        environment,
        {"livecomments_gateway/app.py": "import os\nport = os.getenv('PORT')"},
        "reads the environment",
    ),
    (environment, {"livecomments_streams/job.py": "from os import environ"}, "reads the environment"),
    (environment, {"livecomments/runtime/settings.py": "import os\nos.environ"}, "reads the environment"),
    (environment, {next(iter(READS_ENVIRONMENT)): "import os\nos.environ"}, ""),
    *[(doors, {"livecomments_consumers/hub.py": f"import {library}"}, f"may import {library}") for library in DOORS],
    (doors, {"livecomments/log/follower.py": "from aiokafka.errors import KafkaError"}, "may import aiokafka"),
    (doors, {"livecomments/kafka/reader.py": "from aiokafka import AIOKafkaConsumer"}, ""),
    (
        dependencies,
        {"pyproject.toml": PROJECT, "livecomments_gateway/app.py": "import re, jwt, httpx"},
        "httpx is no dependency",
    ),
    (
        dependencies,
        {"pyproject.toml": PROJECT, "livecomments_gateway/app.py": "import jwt, aiohttp"},
        "aiohttp is no dependency",
    ),
    (
        dependencies,
        {
            "pyproject.toml": PROJECT,
            "livecomments_gateway/app.py": "import jwt",
            "tests/a.py": "import aiohttp, livecomments_gateway, yaml",
        },
        "tests/a.py:1: yaml is no dependency",
    ),
    *[
        (
            dependencies,
            {
                "pyproject.toml": PROJECT,
                "livecomments_gateway/app.py": "import jwt",
                path: '# /// script\n# dependencies = [\n#   "yaml>=1"\n# ]\n# ///\nimport yaml' + more,
            },
            sentence,
        )
        for path, more, sentence in (
            ("requirements/a.py", "", ""),
            ("requirements/a.py", "\nimport aiohttp, httpx", "requirements/a.py:7: httpx is no dependency"),
            ("livecomments_gateway/b.py", "", "livecomments_gateway/b.py:6: yaml is no dependency"),
        )
    ],
    (
        dependencies,
        {"pyproject.toml": PROJECT, "livecomments_gateway/app.py": "import livecomments_gateway"},
        "nothing imports pyjwt",
    ),
    (dependencies, {"pyproject.toml": PROJECT, "livecomments_gateway/app.py": "def f():\n    import jwt"}, ""),
    (docstrings, {"livecomments_gateway/app.py": "x = 1"}, "the module has no docstring"),
    (docstrings, {"livecomments_gateway/app.py": '"""."""\n'}, "the module has no docstring"),
    (docstrings, {"livecomments_gateway/app.py": DOC + "class App: ..."}, "App has no docstring"),
    (docstrings, {"livecomments_gateway/app.py": DOC + "def serve(): print()"}, "serve has no docstring"),
    (docstrings, {"livecomments_gateway/app.py": DOC + "def twice(x: int) -> int: return 2 * x"}, ""),
    (
        docstrings,
        {"livecomments_gateway/app.py": DOC + f"class App:\n    {DOC}    async def serve(self): print()"},
        "App.serve has no",
    ),
    (
        docstrings,
        {"livecomments_gateway/app.py": DOC + f"class App:\n    {DOC}    async def aclose(self): print()"},
        "",
    ),
    (
        docstrings,
        {
            "livecomments_gateway/app.py": f"{DOC}import asyncio\n"
            f"class App(asyncio.Protocol):\n    {DOC}    def pause(self): print()"
        },
        "",
    ),
    (
        docstrings,
        {"livecomments_gateway/app.py": PROTOCOL + "..."},
        "App.serve has no docstring",
    ),
    (
        docstrings,
        {
            "livecomments_gateway/doors.py": PROTOCOL + "'It ends.'",
            "livecomments_gateway/app.py": DOC + f"class RealApp:\n    {DOC}    def serve(self): print()",
        },
        "",
    ),
    (mood, {"livecomments_gateway/app.py": 'def f():\n    """Whether it holds."""'}, "f: begin with a verb"),
    (mood, {"chaos/app.py": 'class A:\n    def _f(self):\n        """`name` of it."""'}, "_f: begin with a verb"),
    (mood, {"chaos/app.py": 'class A:\n    @property\n    def f(self):\n        """Whether it holds."""'}, ""),
    (mood, {"chaos/app.py": 'def f():\n    """Tell whether it holds."""\ndef g():\n    x = 1'}, ""),
    (
        rooms,
        {
            "livecomments_gateway/__init__.py": ROOM,
            "livecomments_gateway/tail.py": "",
            "livecomments_gateway/hub.py": "",
        },
        "does not name `hub`",
    ),
    (
        rooms,
        {
            "livecomments_gateway/__init__.py": ROOM,
            "livecomments_gateway/tail.py": "",
            "livecomments_gateway/page/a.js": "",
        },
        "does not name `page`",
    ),
    (rooms, {"livecomments_gateway/__init__.py": ROOM}, "names `tail`, which is not there"),
    (rooms, {"livecomments_gateway/__init__.py": ROOM, "livecomments_gateway/tail.py": ""}, ""),
    (names, {"livecomments_gateway/app.py": "class HTTPHandler: ..."}, "HTTPHandler: no Handler"),
    (names, {"tests/fakes.py": "class _DataDir: ..."}, "no Data"),
    (names, {"livecomments_gateway/app.py": "class Database: ..."}, ""),
    (reasons, {"livecomments_gateway/app.py": f"x = 1  {NOQA}"}, "without the rule"),
    (reasons, {"livecomments_gateway/app.py": f"{NOQA.replace('#', '# ruff:')}"}, "without the rule"),
    (reasons, {"livecomments_gateway/app.py": f"x = 1  {NOQA}: S608"}, "without a reason"),
    (reasons, {"livecomments_gateway/app.py": f"x = 1  {IGNORE}"}, "without the rule"),
    (reasons, {"tests/app.py": f"x = 1  {IGNORE}[attr-defined]"}, "without a reason"),
    (
        reasons,
        {"livecomments_gateway/app.py": f"x = 1  {IGNORE}[attr-defined]  {NOQA}: S608"},
        "without a reason",
    ),
    (reasons, {"livecomments_gateway/app.py": f"x = 1  {PRAGMA}"}, "without a reason"),
    (reasons, {"livecomments_gateway/app.py": f"x = 1  {IGNORE}[attr-defined]  # untyped before 3.14"}, ""),
    (reasons, {"livecomments_gateway/app.py": f"# The stubs lack it.\nx = 1  {IGNORE}[attr-defined]"}, ""),
    (machine_paths, {"docs/GOTCHAS.md": f"See {WORK}main."}, "GOTCHAS.md:1: a path of one machine"),
    (machine_paths, {"docs/GOTCHAS.md": f"See https://example.org{WORK}main and net{WORK}x."}, ""),
    (sleeping, {"tests/test_hub.py": "import time\ntime.sleep(PAUSE_S)"}, "test_hub.py:2: pass a clock"),
    (
        sleeping,
        {"tests/test_hub.py": "import asyncio\nasync def test():\n    await asyncio.sleep(0.1)"},
        "pass a clock",
    ),
    (
        sleeping,
        {"tests/test_hub.py": "import asyncio\nasync def test():\n    while True:\n        await asyncio.sleep(1)"},
        "clock",
    ),
    (sleeping, {"tests/test_hub.py": "import asyncio\nasync def test():\n    await asyncio.sleep(0)"}, ""),
    (sleeping, {"tests/wait.py": "import time\ndef wait(done):\n    while not done():\n        time.sleep(0.01)"}, ""),
    (mocking, {"tests/test_hub.py": "from unittest.mock import patch"}, "no mocks"),
    (mocking, {"tests/test_hub.py": "from unittest import mock"}, "no mocks"),
    *(
        (supervised, {"livecomments_gateway/app.py": f"import asyncio\n{text}\n"}, said)
        for text, said in (
            ("def f():\n    asyncio.create_task(g())", "app.py:3: nobody supervises this task"),
            ("def f():\n    asyncio.get_running_loop().create_task(g())", "nobody supervises"),
            ("def f(self):\n    self._loop.create_task(g())", "nobody supervises"),
            ("def f():\n    x = asyncio.get_running_loop()\n    x.create_task(g())", "nobody supervises"),
            ("def f(group: asyncio.TaskGroup):\n    group.create_task(g())", ""),
            ("def f(loop):\n    asyncio.run_coroutine_threadsafe(g(), loop)", "nobody supervises"),
            ("def f():\n    t = asyncio.create_task(g())\n    t.add_done_callback(tasks.discard)", "nobody supervises"),
            ("class C:\n    def f(self):\n        self.task = asyncio.ensure_future(g())", "nobody supervises"),
            ("def f():\n    tasks.add(asyncio.create_task(g()))\n    task.cancel()", "nobody supervises"),
            (
                "async def f():\n    try:\n        g()\n    finally:\n        pass\nx = asyncio.create_task(f())",
                "nobody",
            ),
            ("async def f():\n    task = asyncio.create_task(g())\n    await task", ""),
            ("async def f():\n    task = asyncio.create_task(g())\n    await asyncio.wait([task])", ""),
            ("async def f():\n    await asyncio.wait([asyncio.ensure_future(g())])", ""),
            ("def f(self):\n    self.task = asyncio.create_task(g())\n    self.task.add_done_callback(h)", ""),
            ("async def f():\n    async with asyncio.TaskGroup() as tasks:\n        tasks.create_task(g())", ""),
            ("async def f():\n    try:\n        g()\n    except Exception:\n        h()\nasyncio.create_task(f())", ""),
        )
    ),
    (median_length, {"livecomments_gateway/app.py": "x = 1\n" * 151}, "half of all modules have 151 lines or more"),
    (median_length, {"livecomments_gateway/app.py": "x = 1\n" * 151, "livecomments_gateway/keys.py": "x = 1"}, ""),
    (shares, {f"{room}/a.py": "x = 1\n" * 33 for room in ("gateway", "streams", "bench")}, ""),
    (shares, {"livecomments/a.py": "x = 1\n" * 34, **HALVES}, "livecomments: 34% of all lines, at most 33%"),
    (shares, {"livecomments/log/a.py": "x = 1\n" * 11, **HALVES}, ""),
    (shares, {"livecomments/log/a.py": "x = 1\n" * 16, **HALVES}, "livecomments/log: 20% of all lines, at most 15%"),
    (splats, {"livecomments_gateway/app.py": "x = [*(1, 2), 3]"}, "app.py:1: write these out"),
    (splats, {"livecomments_gateway/app.py": "f(*[1, 2])"}, "write these out"),
    (splats, {"livecomments_gateway/app.py": "f(*x, *(y for y in z), *(x or []))"}, ""),
    (arguments, {"livecomments_gateway/app.py": f"class A:\n    def f(self, {MANY}): ..."}, ""),
    (arguments, {"livecomments_gateway/app.py": f"class A:\n    def f(self, {MANY}, more=0): ..."}, "f: 7 positional"),
    (arguments, {"bench/a.py": f"async def f({MANY}, more, *, many=1): ..."}, "f: 7 positional"),
    (arguments, {"chaos/a.py": f"def f({MANY}, more: Annotated[int, typer.Option()]): ..."}, ""),
    (
        class_names,
        {"livecomments_gateway/a.py": "class Page: ...", "livecomments/b.py": "def f():\n    class _Page: ..."},
        "share the name page",
    ),
    (class_names, {"livecomments_gateway/a.py": "class Page: ...", "chaos/b.py": "class Page: ..."}, ""),
    (topic_names, {"livecomments_gateway/app.py": 'TOPIC = "comments-1"'}, "app.py:1: 'comments-1': a topic's name"),
    (topic_names, {"chaos/fill.py": 'TOPIC = f"comments-{epoch}"'}, "a topic's name"),
    (topic_names, {"livecomments_gateway/app.py": 'log("session-revocations")'}, "a topic's name"),
    (topic_names, {"livecomments_gateway/app.py": 'log("comments-%d" % epoch)'}, "a topic's name"),
    (topic_names, {"livecomments_gateway/app.py": 'log("comments-{}".format(epoch))'}, "a topic's name"),
    (topic_names, {"livecomments/log/topics.py": 'TOPIC = "session-revocations"'}, ""),
    (topic_names, {"livecomments_gateway/app.py": 'HELP = "comments-dead-letter is a topic"'}, ""),
    (reads_tests, {"livecomments_loadtest/chat.py": 'CHAT = Path("tests/data/chat.jsonl")'}, "is not shipped"),
    (reads_tests, {"livecomments_command/a.py": 'CHAT = ROOT / "tests" / "data"'}, "'tests': is not shipped"),
    (reads_tests, {"livecomments_command/a.py": 'HELP = "held by tests/test_docs.py"'}, ""),
    (reads_tests, {"chaos/a.py": 'CASES = Path("tests/corpus")'}, ""),
    (packages, {"tests/log/test_tail.py": "", "tests/__init__.py": ""}, "tests/log: has no __init__.py"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_checkout_keeps(rule: Rule) -> None:
    broken = rule(CHECKOUT)
    assert not broken, "\n".join([f"{(rule.__doc__ or '').splitlines()[0]}", *broken])


@pytest.mark.parametrize(("rule", "files", "said"), VIOLATIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_rule_sees_what_breaks_it_and_nothing_else(
    tmp_path: Path, rule: Rule, files: dict[str, str], said: str
) -> None:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    broken = rule(Tree(tmp_path))
    assert len(broken) == (1 if said else 0), broken
    assert all(said in sentence for sentence in broken)


def test_every_rule_has_a_violation_that_it_sees() -> None:
    assert {rule for rule, _, said in VIOLATIONS if said} == set(RULES)


def test_the_checkout_has_files_to_look_at() -> None:
    assert len(CHECKOUT.ours) > 20
    assert CHECKOUT.tests


def test_without_git_only_what_belongs_to_the_tree_is_looked_at(tmp_path: Path) -> None:
    for path in (".venv/a.py", "node_modules/b.py", ".git-ignored/c.py", "gateway/__pycache__/d.py", ".ci/run", "e.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert Tree(tmp_path).files == [".ci/run", "e.py"]
