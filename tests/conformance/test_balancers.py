"""What HAProxy and nginx, as they are recommended, do to streams of real edges: nothing."""

import asyncio
import contextlib
import datetime
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.local.balancer import Balancer, HaProxy, Nginx
from infra.local.ports import HOST, answers
from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.partitions import partition_of
from tests.conformance.deployment import Deployment
from tests.conformance.programs import running
from tests.live.stream import until

STREAMS = 200
SHARE_MIN = 0.99
HEADS = [
    {"Accept": "text/event-stream", "Cache-Control": "no-cache", "Accept-Encoding": "gzip, deflate, br, zstd"},
    {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cookie": "a=1; b=2", "DNT": "1"},
    {"Accept": "*/*", "Accept-Encoding": "gzip", "Origin": "https://elsewhere.example", "Sec-Fetch-Mode": "cors"},
]


@pytest.fixture(params=["haproxy", "nginx"])
def balancer(request: pytest.FixtureRequest, deployment: Deployment) -> Balancer:
    if request.param not in deployment.balancers:
        pytest.skip(f"No {request.param} here: apt-get install {request.param}")
    return deployment.balancers[request.param]


@contextlib.asynccontextmanager
async def client_of(balancer: Balancer) -> AsyncIterator[aiohttp.ClientSession]:
    """Which keeps connections for further requests, as browsers do."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        f"http://{balancer.address}", connector=connector, auto_decompress=False
    ) as client:
        yield client


async def append(deployment: Deployment, video_id: str, message: str) -> None:
    async with deployment.log() as log:
        record = comment_created(video_id, message, Author("u1", "Ana"), created_at_ms=1_700_000_000_000)
        await log.append(partition_of(video_id, log.partition_count), record)


async def test_streams_take_the_transport_lane_also_after_other_answers_on_their_connection(
    balancer: Balancer, deployment: Deployment
) -> None:
    before = await deployment.lanes()
    async with client_of(balancer) as client, contextlib.AsyncExitStack() as opened:
        for number in range(STREAMS):
            video_id = f"lane-{number % 20}"
            if not number % 10:
                async with client.get(f"/comments/{video_id}/stream", params={"after": "malformed"}) as refused:
                    assert refused.status == 400
                    await refused.read()
            answer = await opened.enter_async_context(
                client.get(f"/comments/{video_id}/stream", headers=HEADS[number % len(HEADS)])
            )
            assert answer.status == 200
            assert await answer.content.readany()
        after = await deployment.lanes()
    new = {lane: after[lane] - before[lane] for lane in after}
    assert sum(new.values()) == STREAMS
    assert new["transport"] >= SHARE_MIN * STREAMS, new


async def test_what_an_edge_has_compressed_comes_as_it_is_and_at_once(
    balancer: Balancer, deployment: Deployment
) -> None:
    text, seen = "once, " * 100, b""
    asked = {"Accept-Encoding": "gzip"}
    async with (
        asyncio.timeout(30),
        client_of(balancer) as client,
        client.get("/comments/compressed/stream", headers=asked) as answer,
    ):
        assert answer.headers["content-encoding"] == "gzip"
        raw = await answer.content.readany()
        await append(deployment, "compressed", text)
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        seen += inflate.decompress(raw)
        while text.encode() not in seen:
            raw += (piece := await answer.content.readany())
            seen += inflate.decompress(piece)
    assert raw.startswith(b"\x1f\x8b\x08\0\0\0\0\0\0\xff"), "the head is the edge's own: it names no system"
    assert raw.count(b"\0\0\xff\xff") >= 1, "a block ends in a full flush"
    assert len(raw) < len(seen)


async def test_what_was_not_asked_compressed_comes_plain(balancer: Balancer) -> None:
    asked = {"Accept-Encoding": "identity"}
    async with (
        asyncio.timeout(30),
        client_of(balancer) as client,
        client.get("/comments/plain/stream", headers=asked) as answer,
    ):
        assert "content-encoding" not in answer.headers
        assert (await answer.content.readany()).startswith(b":\nevent: begin\n")


class TlsHaProxy(HaProxy):
    """With the line for TLS that stands in the recommended file as a comment."""

    def configuration(self, *arguments: Any) -> str:
        text = super().configuration(*arguments)
        bind = f"    bind {HOST}:{arguments[0]}"
        line = "    #   bind :443 ssl crt /etc/haproxy/certs/ alpn h2,http/1.1\n"
        assert line in text
        tls = f"{bind} ssl crt {self.data_dir}/both.pem alpn h2,http/1.1\n"
        return text.replace(f"{bind}\n", "").replace(line, tls)


class TlsNginx(Nginx):
    """Likewise."""

    def configuration(self, *arguments: Any) -> str:
        text = super().configuration(*arguments)
        listen = f"        listen {HOST}:{arguments[0]}"
        line = "        #   listen 443 ssl http2;\n"
        assert line in text
        both = "".join(f"ssl_{what} {self.data_dir}/both.pem;\n" for what in ("certificate", "certificate_key"))
        return text.replace(f"{listen};\n", "").replace(line, f"{listen} ssl http2;\n{both}")


def write_certificate(file: Path) -> None:
    """A key, and a certificate for it by itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file.parent.mkdir(parents=True)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )


async def test_with_tls_a_stream_comes_over_http2_and_takes_the_transport_lane(
    balancer: Balancer, deployment: Deployment, tmp_path: Path
) -> None:
    kind: type[TlsHaProxy | TlsNginx] = TlsHaProxy if balancer.program == "haproxy" else TlsNginx
    folder = tmp_path / "balancer"
    write_certificate(folder / "both.pem")
    ports = [edge.ports for edge in deployment.edges]
    tls = kind(folder, port=None, gateways=lambda: ports[:1], edges=lambda: ports)
    before = await deployment.lanes()
    tls.start()
    try:
        await until(lambda: answers(tls.ports["client"]), "an open port")
        head, body, said = (tmp_path / name for name in ("head", "body", "said"))
        curl = ("curl", "-sSNk", "--http2", "--compressed", "-D", str(head), "-o", str(body))
        async with running(said, *curl, f"https://{tls.address}/comments/tls/stream"):
            await until(lambda: body.exists() and b"event: heartbeat" in body.read_bytes(), "a heartbeat")
            assert head.read_text().startswith("HTTP/2 200")
            after = await deployment.lanes()
    finally:
        tls.kill()
    assert {lane: after[lane] - before[lane] for lane in after} == {"transport": 1, "asgi": 0}
