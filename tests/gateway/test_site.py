"""The page's files and the descriptions: sent compressed, and not sent again to who has them."""

import gzip
import re
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import aiohttp

from tests.served import served

PATHS: Final = ("/", "/client.js", "/pieces.js", "/page/page.js", "/page/page.css", "/openapi.json", "/docs")


async def test_files_are_compressed_for_who_takes_it_and_not_sent_again_to_who_has_them(tmp_path: Path) -> None:
    async with served(tmp_path) as running, aiohttp.ClientSession(running.url, auto_decompress=False) as client:
        for path in PATHS:
            bodies, etags = [], []
            for taken in ("identity", "gzip, br"):
                asked = {"Accept-Encoding": taken}
                async with client.get(path, headers=asked) as answer:
                    assert answer.status == 200
                    assert answer.headers["Vary"] == "Accept-Encoding"
                    assert answer.headers.get("Content-Encoding") == (None if taken == "identity" else "gzip")
                    bodies.append(await answer.read())
                    etags.append(answer.headers["ETag"])
                    length = answer.headers["Content-Length"]
                async with client.head(path, headers=asked) as answer:
                    assert (answer.status, answer.headers["ETag"], await answer.read()) == (200, etags[-1], b"")
                    assert answer.headers["Content-Length"] == length
                for call in (client.get, client.head):
                    async with call(path, headers={**asked, "If-None-Match": f'"other", W/{etags[-1]}'}) as answer:
                        assert (answer.status, answer.headers["ETag"], await answer.read()) == (304, etags[-1], b"")
                        assert answer.headers["Vary"] == "Accept-Encoding"
                on_lines = [*asked.items(), ("If-None-Match", '"other"'), ("If-None-Match", etags[-1])]
                async with client.get(path, headers=on_lines) as answer:
                    assert answer.status == 304
                async with client.get(path, headers={**asked, "If-None-Match": '"other"'}) as answer:
                    assert answer.status == 200
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert answer.headers["Cache-Control"] == "no-cache"
            codings = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")]
            async with client.get(path, headers=codings) as answer:
                assert answer.headers["Content-Encoding"] == "gzip"
            plain, compressed = bodies
            assert gzip.decompress(compressed) == plain
            assert len(compressed) < len(plain)
            assert etags[0] != etags[1], "two bodies, two names"


CLIP: Final = "/page/clip.mp4"
FIRST_LOAD_BYTES_MAX: Final = 25_000
CLIPS_BYTES_MAX: Final = 300_000


async def test_a_player_gets_the_part_of_the_clip_that_it_asks_for(tmp_path: Path) -> None:
    async with served(tmp_path) as running, aiohttp.ClientSession(running.url) as client:
        async with client.get(CLIP) as answer:
            whole, tag = await answer.read(), answer.headers["ETag"]
            assert (answer.status, answer.content_type) == (200, "video/mp4")
            assert answer.headers["Accept-Ranges"] == "bytes"
        size = len(whole)
        parts = {
            "bytes=0-1": (0, 2),
            "bytes=100-": (100, size),
            "bytes=-10": (size - 10, size),
            "bytes=5-999999999": (5, size),
        }
        for asked, (start, end) in parts.items():
            async with client.get(CLIP, headers={"Range": asked, "If-Range": tag}) as answer:
                assert (answer.status, await answer.read()) == (206, whole[start:end]), asked
                assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        for asked in ("bytes=", "bytes=-", "bytes=2-1", "bytes=0-1,4-5", "lines=0-1", "bytes=x-"):
            async with client.get(CLIP, headers={"Range": asked}) as answer:
                assert (answer.status, await answer.read()) == (200, whole), asked
        async with client.get(CLIP, headers={"Range": "bytes=0-1", "If-Range": '"other"'}) as answer:
            assert (answer.status, await answer.read()) == (200, whole)
        for asked in (f"bytes={size}-", "bytes=-0"):
            async with client.get(CLIP, headers={"Range": asked}) as answer:
                assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
        async with client.get(CLIP, headers={"If-None-Match": tag, "Range": "bytes=0-1"}) as answer:
            assert answer.status == 304


async def test_the_first_load_is_small(tmp_path: Path) -> None:
    sizes = {}
    async with served(tmp_path) as running, aiohttp.ClientSession(running.url, auto_decompress=False) as client:
        async with client.get("/", headers={"Accept-Encoding": "gzip"}) as answer:
            sizes["/"] = len(page := await answer.read())
        named = re.findall(r'(?:href|src)="(page/[^"]+)"', gzip.decompress(page).decode())
        for name in set(named):
            async with client.get(f"/{name}", headers={"Accept-Encoding": "gzip"}) as answer:
                sizes[name] = len(await answer.read())
    clips = {name: sizes.pop(name) for name in list(sizes) if "clip" in name}
    print(sizes, clips)
    assert {"page/page.js", "page/client.js", "page/film.js"} <= set(sizes), "asked for in one round"
    assert sum(sizes.values()) <= FIRST_LOAD_BYTES_MAX
    assert sum(clips.values()) <= CLIPS_BYTES_MAX


PREFIX: Final = "https://site.example/chat/"
"""Where a load balancer may put all of it."""
_LINK: Final = re.compile(r"""(?:href|src|action|from|import)\s*(?:=|:|\(|\s)\s*["']([^"']*)["']""")


async def test_below_a_path_prefix_everything_that_a_page_names_is_below_it_too(tmp_path: Path) -> None:
    found = []
    async with served(tmp_path) as running:
        for path in ("", "docs", "page/page.js", "page/composer.js", "page/row.js", "page/film.js"):
            async with running.client.get(f"/{path}") as answer:
                assert answer.status == 200
                found += [(path, link) for link in _LINK.findall(await answer.text())]
        for path, link in found:
            if not link.startswith(("data:", "#")):
                address = urljoin(PREFIX + path, link)
                assert address.startswith(PREFIX), (path, link)
                async with running.client.get("/" + address.removeprefix(PREFIX)) as answer:
                    assert answer.status == 200, (path, link)
        async with running.client.get("/page/page.js") as answer:
            assert 'baseUrl: "."' in await answer.text(), "of the page, not of the script"
        async with running.client.get("/openapi.json") as answer:
            servers = (await answer.json())["servers"]
            assert [urljoin(PREFIX + "openapi.json", each["url"]) for each in servers] == [PREFIX]
    assert {("", "page/page.js"), ("", "page/page.css"), ("docs", "openapi.json")} <= set(found)
