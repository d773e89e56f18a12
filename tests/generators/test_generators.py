"""What three generators make of `/openapi.json` posts, reads a page, and gets typed objects; others' parser takes the
contract of the topics."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from infra import asyncapi
from tests.generators.tools import JS, ToolMissing, generator_jar, node, python, run
from tests.served import served

pytestmark = [pytest.mark.generated, pytest.mark.timeout(600)]

PYTHON_CLIENT: Final = """
import sys
from datetime import datetime
from made.api.comments import post_comment, read_page
from made.api.sessions import open_session, renew_session
from made.client import AuthenticatedClient, Client
from made.models import Comment, OpenSessionBody, PageOfHistory, PostCommentBody, Problem, ReadPageInclude
from made.models import RenewSessionBody, Session

url = sys.argv[1]
session = open_session.sync(client=Client(url), body=OpenSessionBody(display_name="Ana"))
assert isinstance(session, Session) and isinstance(session.expires_at, datetime), session
client = AuthenticatedClient(url, session.session_token)
comment = post_comment.sync("v", client=client, body=PostCommentBody("Hello", video_time_ms=5), idempotency_key="k")
assert isinstance(comment, Comment), comment
assert (comment.message, comment.author.display_name, comment.video_time_ms) == ("Hello", "Ana", 5)
assert isinstance(comment.created_at, datetime)
page = read_page.sync("v", client=Client(url), page_size=5, include=ReadPageInclude.DELETES)
assert isinstance(page, PageOfHistory) and page.comments == [comment] and page.deletes == [], page
assert page.next_cursor is None
renamed = renew_session.sync(client=client, body=RenewSessionBody("Bea"))
assert isinstance(renamed, Session) and renamed.user_id == session.user_id
refused = post_comment.sync("v", client=client, body=PostCommentBody(" "))
assert isinstance(refused, Problem) and refused.code == "message_empty", refused
refused = post_comment.sync("v", client=Client(url), body=PostCommentBody("hi"))
assert isinstance(refused, Problem) and refused.code == "missing_token", refused
"""

GENERATOR_CLIENT: Final = """
import sys
from datetime import datetime
import openapi_client as made

configuration = made.Configuration(host=sys.argv[1])
with made.ApiClient(configuration) as api:
    session = made.SessionsApi(api).open_session(made.OpenSessionRequest(displayName="Ana"))
    assert isinstance(session, made.Session) and isinstance(session.expires_at, datetime), session
    configuration.access_token = session.session_token
    comments = made.CommentsApi(api)
    comment = comments.post_comment("v", made.PostCommentRequest(message="Hello", videoTimeMs=5), idempotency_key="k")
    assert isinstance(comment, made.Comment) and isinstance(comment.created_at, datetime), comment
    assert (comment.message, comment.author.display_name, comment.video_time_ms) == ("Hello", "Ana", 5)
    page = comments.read_page("v", page_size=5, include="deletes")
    assert isinstance(page, made.Page) and page.comments == [comment] and page.deletes == [], page
    assert page.next_cursor is None
    renamed = made.SessionsApi(api).renew_session(made.RenewSessionRequest(displayName="Bea"))
    assert renamed.user_id == session.user_id
    try:
        comments.post_comment("v", made.PostCommentRequest(message=" "))
    except made.exceptions.BadRequestException as refused:
        assert isinstance(refused.data, made.Problem) and refused.data.code == "message_empty", refused
    else:
        raise AssertionError("an empty message was taken")
"""

TYPESCRIPT_CLIENT: Final = """
import type { components, operations, paths } from "./api.js";

type Page = paths["/comments/{videoId}"]["get"]["responses"][200]["content"]["application/json"];
type NewComment = operations["postComment"]["requestBody"]["content"]["application/json"];
type Session = components["schemas"]["session"];
type Problem = components["schemas"]["problem"];
const url = process.argv[2];

async function ask<T>(path: keyof paths, method: string, token: string, body?: object): Promise<[number, T]> {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (token) headers["Authorization"] = `Bearer ${token}`;
  const sent = body === undefined ? null : JSON.stringify(body);
  const answer = await fetch(url + path.replace("{videoId}", "v"), { method, headers, body: sent });
  return [answer.status, (await answer.json()) as T];
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const [, session] = await ask<Session>("/sessions", "POST", "", { displayName: "Ana" });
const hello: NewComment = { message: "Hello", videoTimeMs: 5 };
const [status, comment] = await ask<components["schemas"]["comment"]>(
  "/comments/{videoId}", "POST", session.sessionToken, hello,
);
check(status === 201 && comment.author.displayName === "Ana" && comment.videoTimeMs === 5, "post");
const [, page] = await ask<Page>("/comments/{videoId}", "GET", "");
const newest: string | undefined = page.comments[0]?.message;
const next: string | null = page.nextCursor;
check(newest === "Hello" && next === null, "page");
const [, refused] = await ask<Problem>("/comments/{videoId}", "POST", "", hello);
check(refused.code === "missing_token", "problem");
// @ts-expect-error: a cursor is a text or null
const wrong: number = page.nextCursor;
"""


def made_by_python_client(document: Path, room: Path) -> list[str | Path]:
    """By openapi-python-client: the command that runs its client."""
    interpreter = python()
    tool = ("-m", "openapi_python_client", "generate", "--path", document, "--meta", "none")
    said = run(interpreter, *tool, "--output-path", room / "made")
    assert "unsupported" not in said.lower(), said
    (room / "use.py").write_text(PYTHON_CLIENT)
    return [interpreter, "use.py"]


def made_by_generator(document: Path, room: Path) -> list[str | Path]:
    """By openapi-generator: the command that runs its client."""
    jar, interpreter = generator_jar(), python()
    run("java", "-jar", jar, "generate", "-g", "python", "-i", document, "-o", room)
    (room / "use.py").write_text(GENERATOR_CLIENT)
    return [interpreter, "use.py"]


def made_by_openapi_typescript(document: Path, room: Path) -> list[str | Path]:
    """By openapi-typescript: the command that runs a client, once its types are checked."""
    found, packages = node(), JS / "node_modules"
    run(found, packages / "openapi-typescript" / "bin" / "cli.js", document, "-o", room / "api.d.ts")
    (room / "use.ts").write_text(TYPESCRIPT_CLIENT)
    (room / "package.json").write_text('{"type": "module"}')
    (room / "node.d.ts").write_text("declare const process: { argv: [string, string, string] };")
    options = ("--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext")
    run(found, packages / "typescript" / "bin" / "tsc", *options, "use.ts", "node.d.ts", "api.d.ts", cwd=room)
    return [found, "use.js"]


def test_the_parser_of_asyncapi_takes_the_contract_of_the_topics(tmp_path: Path) -> None:
    program = JS / "asyncapi.mjs"
    try:
        interpreter = node()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    assert int(run(interpreter, program, asyncapi.FILE)) == len(asyncapi.document()["components"]["messages"])
    broken = tmp_path / "broken.yaml"
    broken.write_text(asyncapi.FILE.read_text().replace("action: send", "action: shout", 1))
    with pytest.raises(AssertionError, match="action"):
        run(interpreter, program, broken)


@pytest.mark.parametrize("make", [made_by_python_client, made_by_generator, made_by_openapi_typescript])
async def test_what_is_generated_posts_reads_a_page_and_gets_typed_objects(
    tmp_path: Path, make: Callable[[Path, Path], list[str | Path]]
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    async with served(tmp_path / "data") as running:
        async with running.client.get("/openapi.json") as answer:
            (tmp_path / "openapi.json").write_bytes(await answer.read())
        try:
            command = await asyncio.to_thread(make, tmp_path / "openapi.json", room)
        except ToolMissing as missing:
            pytest.skip(str(missing))
        await asyncio.to_thread(lambda: run(*command, running.url, cwd=room))
