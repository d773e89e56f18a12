"""History pages: their elements' own bytes, and walks through all of a video."""

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from livecomments_loadtest.calls import Caller, problem_code
from livecomments_loadtest.ledger import Complaints, Walk, digest_of, is_comment_id

_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]')
"""Strings, so that what looks like structure in a text is skipped, and the structure itself."""

STUCK_PAGES_MAX: Final = 10_000
"""Empty pages in a row, each with a new cursor: legal for a sparse video, but not for ever."""


class PageMalformed(ValueError):
    """A page that is not as the contract says; the text names how."""


class ReadPage(NamedTuple):
    """`items` as they came: the id and digest of each comment. `next_cursor` None: the end.

    `complete_to` is the position that `stream_url` starts after.
    """

    items: list[tuple[str, int]]
    next_cursor: str | None
    stream_url: str
    complete_to: str


def read_page(body: bytes) -> ReadPage:
    """Read a page from its JSON; its comments are digested in exactly the bytes they came in.

    Raises:
        PageMalformed: no such JSON.
    """
    try:
        members = orjson.loads(body)
        ids = [str(comment["commentId"]) for comment in members["comments"]]
        next_cursor, stream_url = members["nextCursor"], str(members["streamUrl"])
        complete_to = parse_qs(urlsplit(stream_url).query).get("after", [""])[-1]
    except (ValueError, KeyError, TypeError) as error:
        raise PageMalformed("page whose JSON is not as promised") from error
    elements = array_elements(body, b'"comments"')
    if len(elements) != len(ids) or not all(map(is_comment_id, ids)):
        raise PageMalformed("page with a malformed comment")
    if next_cursor is not None and not (isinstance(next_cursor, str) and is_comment_id(next_cursor)):
        raise PageMalformed("page whose nextCursor is no comment id")
    if not is_comment_id(complete_to):
        raise PageMalformed("page whose streamUrl names no position")
    return ReadPage(list(zip(ids, map(digest_of, elements), strict=True)), next_cursor, stream_url, complete_to)


def array_elements(document: bytes, member: bytes) -> list[bytes]:
    """Return the raw bytes of the objects in the array that is the outermost object's `member` (a quoted name).

    `document` is valid JSON; white space between elements is no part of them.
    """
    depth, begin = 0, -1
    name = b""
    elements: list[bytes] = []
    for match in _TOKENS.finditer(document):
        token = match[0]
        if token in b"{[":
            depth += 1
            if depth == 3 and name == member:
                begin = match.start()
        elif token in b"}]":
            if depth == 3 and name == member:
                elements.append(document[begin : match.end()])
            depth -= 1
        elif depth == 1 and token[:1] == b'"' and document[match.end() :].lstrip()[:1] == b":":
            name = token
    return elements


async def first_page(caller: Caller, video_id: str, page_size: int, complaints: Complaints) -> ReadPage | None:
    """Read the newest page, as somebody who opens the video does; None if it cannot be had."""
    return await _page(caller, f"/comments/{quote(video_id)}?pageSize={page_size}", complaints)


async def walk(caller: Caller, video_id: str, sort: str, page_size: int, complaints: Complaints) -> Walk:
    """Read all pages of a video in one direction, until the last one or one that is refused or malformed."""
    items: list[tuple[str, int]] = []
    cursor: str | None = None
    empty = 0
    while True:
        after = "" if cursor is None else f"&cursor={cursor}"
        page = await _page(caller, f"/comments/{quote(video_id)}?sort={sort}&pageSize={page_size}{after}", complaints)
        if page is None:
            return Walk(sort, page_size, items, complete=False)
        items += page.items
        if page.next_cursor is None:
            return Walk(sort, page_size, items)
        empty = 0 if page.items else empty + 1
        went_on = cursor is None or (page.next_cursor < cursor if sort == "desc" else page.next_cursor > cursor)
        if not went_on or empty > STUCK_PAGES_MAX or len(page.items) > page_size:
            complaints.add("page with more than pageSize comments, or a cursor that does not go on")
            return Walk(sort, page_size, items, complete=False)
        cursor = page.next_cursor


async def _page(caller: Caller, target: str, complaints: Complaints) -> ReadPage | None:
    response = (await caller.ask("GET", target, {"accept": "application/json"})).response
    if response is None:
        return None
    if response.head.status != 200:
        complaints.add(f"page answered with {response.head.status} {problem_code(response)}")
        return None
    try:
        return read_page(response.body)
    except PageMalformed as error:
        complaints.add(str(error))
        return None
