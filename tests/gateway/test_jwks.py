"""JWTs by an issuer's published keys: which keys are trusted, and what happens while the issuer is away."""

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_decode, base64url_encode

from livecomments.runtime.rotation import Rotated
from livecomments_gateway.identity import SessionRules, TokenRejected, Tokens
from livecomments_gateway.jwks import JwksKeys, JwksTimes
from livecomments_gateway.jwts import JwtRules
from livecomments_gateway.keys import KEYS_MAX, KeysUnavailable, VerifyingKey, parse_jwks, shared_keys
from livecomments_schemas.errors import StartRefused
from tests.served import served

ISSUER: Final = "https://issuer.example"
TIMEOUT_S: Final = 20.0


@cache
def private(kind: str) -> Any:
    if kind == "RS256":
        return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ES256" else ed25519.Ed25519PrivateKey.generate()


def published(key: Any, **members: Any) -> dict[str, Any]:
    """A key as a JWKS has it."""
    algorithm: Any = {rsa.RSAPublicKey: RSAAlgorithm, ec.EllipticCurvePublicKey: ECAlgorithm}
    public = key.public_key()
    made = next((one for kind, one in algorithm.items() if isinstance(public, kind)), OKPAlgorithm)
    return dict(made.to_jwk(public, as_dict=True)) | {"use": "sig"} | members


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def signed(kind: str, kid: str, key: Any = None, **claims: Any) -> str:
    said = {"sub": "user-1", "iss": ISSUER, "aud": "us", "exp": int(time.time()) + 600} | claims
    return jwt.encode(said, key or private(kind), kind, headers={"kid": kid})


def trusting(keys: dict[str, VerifyingKey]) -> Tokens:
    """Tokens of an issuer with these keys."""

    class Fixed:
        def find(self, kid: object) -> Sequence[VerifyingKey]:
            return [keys[kid]] if isinstance(kid, str) and kid in keys else []

    class NoneRevoked:
        def is_revoked(self, session: bytes) -> bool:
            return False

        async def revoke(self, session: bytes, until: int, by: str) -> None:
            """Nothing is."""

    return Tokens(
        SessionRules(Rotated([b"s" * 32]), 1, 1, False), NoneRevoked(), jwt_rules=JwtRules(Fixed(), ISSUER, "us")
    )


KINDS: Final = ("RS256", "ES256", "EdDSA")


@pytest.mark.parametrize("kind", KINDS)
def test_each_algorithm_verifies_its_own_and_nothing_else(kind: str) -> None:
    checked = trusting(parse_jwks(jwks(*(published(private(one), kid=one) for one in KINDS))).keys)
    assert checked.identify(f"Bearer {signed(kind, kind)}").author.id == "user-1"
    other = KINDS[KINDS.index(kind) - 1]
    for token in (
        signed(kind, other),
        signed(kind, "unknown"),
        signed(kind, kind, aud="them"),
        signed(kind, kind) + "=",
    ):
        with pytest.raises(TokenRejected):
            checked.identify(f"Bearer {token}")


def test_the_twin_of_an_ecdsa_signature_makes_no_other_token() -> None:
    checked = trusting(parse_jwks(jwks(published(private("ES256"), kid="ES256"))).keys)
    token = signed("ES256", "ES256")
    told, _, signature = token.rpartition(".")
    raw = base64url_decode(signature)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, FIPS 186-4
    twin = raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)
    other = f"{told}.{base64url_encode(twin).decode()}"
    assert other != token
    assert checked.identify(f"Bearer {other}").session == checked.identify(f"Bearer {token}").session


def test_a_public_key_is_no_hmac_secret() -> None:
    key = published(private("RS256"), kid="k")
    checked = trusting(parse_jwks(jwks(key)).keys)
    for secret in (key["n"], key["n"][:64]):
        token = jwt.encode(
            {"sub": "x", "iss": ISSUER, "aud": "us", "exp": 10**10}, secret, "HS256", headers={"kid": "k"}
        )
        with pytest.raises(TokenRejected):
            checked.identify(f"Bearer {token}")


def weak() -> list[dict[str, Any]]:
    good = published(private("RS256"), kid="k")
    return [
        published(rsa.generate_private_key(public_exponent=65_537, key_size=1_024), kid="k"),
        published(ec.generate_private_key(ec.SECP384R1()), kid="k"),
        good | {"use": "enc"},
        good | {"use": None},
        good | {"alg": "RS512"},
        good | {"alg": "none"},
        good | {"key_ops": ["sign"]},
        good | {"key_ops": "verify"},
        good | {"d": "AQAB"},
        good | {"kty": "oct", "k": "c2VjcmV0"},
        good | {"kty": ["RSA"]},
        good | {"kid": 5},
        good | {"kid": ""},
        good | {"n": "!"},
        {"kid": "k", "kty": "RSA"},
        {"kid": "k", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    ]


def test_a_key_that_is_not_sound_is_left_out() -> None:
    good = published(private("ES256"), kid="good")
    for key in weak():
        parsed = parse_jwks(jwks(good, key))
        assert set(parsed.keys) == {"good"}, key
        assert len(parsed.left_out) == 1, key
    assert parse_jwks(jwks(good, good)).keys == {}  # which of the two is meant?
    for raw in (b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":' + b"[" * 2_000, jwks(*[good] * (KEYS_MAX + 1))):
        with pytest.raises(ValueError, match=r".+"):
            parse_jwks(raw)


def test_each_key_that_is_left_out_is_told_with_its_reason() -> None:
    good = published(private("ES256"), kid="good")
    nameless = {name: value for name, value in good.items() if name != "kid"}
    parsed = parse_jwks(jwks(nameless, good | {"kid": "x", "use": "enc"}, good))
    assert set(parsed.keys) == {"good"}
    nameless_reason, encryption_reason = parsed.left_out
    assert nameless_reason.startswith("number 0: no kid")
    assert encryption_reason == "kid 'x': not for verifying signatures"


@pytest.mark.parametrize("said_by_key", [{}, {"alg": "EdDSA"}, {"alg": "Ed25519"}])
@pytest.mark.parametrize("said_by_token", ["EdDSA", "Ed25519"])
def test_ed25519_is_taken_by_its_old_name_and_by_its_new_one(said_by_key: dict[str, str], said_by_token: str) -> None:
    checked = trusting(parse_jwks(jwks(published(private("EdDSA"), kid="k") | said_by_key)).keys)
    token = signed_raw(said_by_token, {"kid": "k"}, json.dumps(CLAIMS).encode(), private("EdDSA"))
    assert checked.identify(f"Bearer {token}").author.id == "user-1"


def test_a_verdict_falls_with_the_key_it_came_from() -> None:
    first, second = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    keys = dict(parse_jwks(jwks(published(first, kid="k"))).keys)
    checked = trusting(keys)
    token = f"Bearer {signed('ES256', 'k', first)}"
    assert checked.identify(token) is checked.identify(token)  # remembered
    keys.update(parse_jwks(jwks(published(first, kid="k"))).keys)  # fetched anew
    assert checked.identify(token).author.id == "user-1"
    for after in (published(second, kid="k"), published(private("RS256"), kid="k"), published(first, kid="other")):
        keys.clear()
        keys.update(parse_jwks(jwks(after)).keys)
        with pytest.raises(TokenRejected):
            checked.identify(token)
    keys.update(parse_jwks(jwks(published(first, kid="k"))).keys)
    assert checked.identify(token).author.id == "user-1"


CLAIMS: Final[dict[str, Any]] = {"sub": "user-1", "iss": ISSUER, "aud": "us", "exp": int(time.time()) + 86_400}


def signed_raw(algorithm: str, header: dict[str, Any], payload: bytes, key: Any) -> str:
    """A token of exactly these bytes, whose header names this algorithm."""
    whole = json.dumps(header | {"alg": algorithm}).encode()
    signing = base64url_encode(whole) + b"." + base64url_encode(payload)
    kind: Any = OKPAlgorithm() if algorithm in ("EdDSA", "Ed25519") else ECAlgorithm(ECAlgorithm.SHA256)
    return (signing + b"." + base64url_encode(kind.sign(signing, key))).decode()


# Of the hour in which it runs, so no test is named after it: the processes of one run would not collect the same.
LATER: Final = CLAIMS["exp"]
NO_TIMES: Final[tuple[object, ...]] = (str(LATER), "0", True, False, None, [], {})
WRONG: Final[list[dict[str, Any]]] = [
    *({name: wrong} for name in ("exp", "nbf", "iat") for wrong in NO_TIMES),
    {"exp": 1},
    {"nbf": LATER},
    {"iat": LATER},
    {"nbf": 1e300},
    {"aud": ["them"]},
    {"aud": ["us", 5]},
    {"aud": {"us": True}},
    {"iss": [ISSUER]},
    {"iss": None},
    {"sub": 5},
    {"sub": "a\0b"},
    {"sub": "s" * 129},
    {"roles": "moderate"},
    {"roles": [5]},
]


@pytest.mark.parametrize("claims", WRONG, ids=range(len(WRONG)))
def test_a_claim_that_is_not_what_it_must_be_refuses_the_token(claims: dict[str, Any]) -> None:
    checked = trusting(parse_jwks(jwks(published(private("ES256"), kid="k"))).keys)
    payload = json.dumps(CLAIMS | claims).encode()
    with pytest.raises(TokenRejected):
        checked.identify(f"Bearer {signed_raw('ES256', {'kid': 'k'}, payload, private('ES256'))}")


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(CLAIMS).encode("utf-16"),
        json.dumps(CLAIMS).encode("utf-32"),
        json.dumps(CLAIMS).encode("utf-8-sig"),
        json.dumps(CLAIMS).replace(str(LATER), "1e400").encode(),
        json.dumps(CLAIMS).replace(str(LATER), "NaN").encode(),
        json.dumps(CLAIMS).replace("user-1", "user-\\ud800").encode(),
        json.dumps([CLAIMS]).encode(),
        b"[" * 4_000,
        b"",
    ],
    ids=range(9),
)
def test_what_is_no_json_object_in_utf_8_refuses_the_token(payload: bytes) -> None:
    checked = trusting(parse_jwks(jwks(published(private("ES256"), kid="k"))).keys)
    with pytest.raises(TokenRejected):
        checked.identify(f"Bearer {signed_raw('ES256', {'kid': 'k'}, payload, private('ES256'))}")


def test_numbers_of_any_kind_are_times() -> None:
    checked = trusting(parse_jwks(jwks(published(private("ES256"), kid="k"))).keys)
    payload = json.dumps(CLAIMS | {"exp": LATER + 0.5, "nbf": 0, "iat": 1.5, "aud": ["them", "us"]}).encode()
    identity = checked.identify(f"Bearer {signed_raw('ES256', {'kid': 'k'}, payload, private('ES256'))}")
    assert identity.expires_at == LATER + 30


@pytest.mark.parametrize(
    ("claims", "shown"),
    [
        ({"name": "n" * 41}, "n" * 40),
        ({"name": "Ana\u202e"}, "Ana"),
        ({"name": "\ufffc"}, "user-1"),
        ({"name": 5}, "user-1"),
        ({"name": "", "sub": "s" * 128}, "s" * 40),
        ({"sub": "\u2800"}, "user"),
    ],
)
def test_a_name_that_does_not_fit_is_cut_and_one_that_shows_nothing_is_the_id(
    claims: dict[str, Any], shown: str
) -> None:
    checked = trusting(parse_jwks(jwks(published(private("ES256"), kid="k"))).keys)
    assert checked.identify(f"Bearer {signed('ES256', 'k', **claims)}").author.display_name == shown


def test_a_key_of_another_kind_is_no_shared_secret() -> None:
    public = private("RS256").public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    ssh = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    texts = [pem, pem.replace("\n", ""), b64encode(pem.encode()).decode(), ssh, "https://issuer.example/keys"]
    for algorithm in ("RS256", "ES256", "EdDSA"):
        der = private(algorithm).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        texts.append(b64encode(der).decode())
    for secret in (*texts, json.dumps(published(private("RS256"))), jwks().decode()):
        with pytest.raises(StartRefused) as refused:
            shared_keys(secret)
        assert "JWKS_URL" in str(refused.value)
        assert secret not in str(refused.value)
    assert len(shared_keys("s" * 64)) == 1


class Issuer:
    """An issuer on this machine, whose answers a test sets."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.fetches = 0
        self.fetched = asyncio.Condition()

    async def answer(self, _: web.Request) -> web.Response:
        async with self.fetched:
            self.fetches += 1
            self.fetched.notify_all()
        headers = {"Location": "/keys"} if self.status == 302 else {}
        return web.Response(status=self.status, body=self.body, headers=headers)

    async def reached(self, fetches: int) -> None:
        async with asyncio.timeout(TIMEOUT_S), self.fetched:
            await self.fetched.wait_for(lambda: self.fetches >= fetches)


@asynccontextmanager
async def issuing(issuer: Issuer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/keys", issuer.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site.name
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fetching(keys: JwksKeys) -> AsyncIterator[None]:
    task = asyncio.create_task(keys.run())
    try:
        yield
    finally:
        task.cancel()


async def known(keys: JwksKeys, kid: str) -> VerifyingKey | None:
    """What is known of a kid once nothing is being fetched for it."""
    found: list[Sequence[VerifyingKey]] = []

    def is_settled() -> bool:
        try:
            found.append(keys.find(kid))
        except KeysUnavailable:
            return False
        return True

    async with asyncio.timeout(TIMEOUT_S):
        while not is_settled():  # noqa: ASYNC110 - nothing tells of it, as nothing tells a client
            await asyncio.sleep(0.01)
    return next(iter(found[-1]), None)


def unavailable(keys: JwksKeys, *kids: str) -> bool:
    """Whether of each of these it cannot be told yet whether the issuer publishes it."""
    for kid in kids:
        try:
            keys.find(kid)
        except KeysUnavailable:
            continue
        return False
    return True


async def test_a_new_key_is_found_at_once_and_unknown_ones_cost_one_fetch_a_cooldown() -> None:
    issuer = Issuer()
    issuer.body = jwks(published(private("ES256"), kid="old"))
    now = [0.0]
    async with issuing(issuer) as url:
        keys = JwksKeys(url, clock=lambda: now[0])
        async with fetching(keys):
            assert await known(keys, "old")
            issuer.body = jwks(published(private("ES256"), kid="new"))
            unknown = [f"unknown-{number}" for number in range(900)]
            assert unavailable(keys, "new", *unknown), "they may have been published since"
            assert issuer.fetches == 1
            now[0] += 30
            assert await known(keys, "new")
            for kid in (*unknown, "old", "x" * 257, ""):
                assert not keys.find(kid)
            assert unavailable(keys, *(f"other-{number}" for number in range(2_000)))
            assert issuer.fetches == 2
            assert len(keys._missed) <= 1_000


async def test_that_a_key_is_not_published_is_said_only_once_the_issuer_has_said_so() -> None:
    """An answer of 401 ends a session: it is not given because the issuer was away, or was asked too early."""
    issuer = Issuer()
    issuer.body = jwks(published(private("ES256"), kid="old"))
    now = [0.0]
    times = JwksTimes(refresh_s=1e6, retry_s=1e6)
    async with issuing(issuer) as url:
        keys = JwksKeys(url, times=times, clock=lambda: now[0])
        async with fetching(keys):
            assert await known(keys, "old")
            now[0] += 30
            issuer.status = 503
            assert unavailable(keys, "rotated")
            await issuer.reached(2)
            async with asyncio.timeout(TIMEOUT_S):
                while keys._wanted.is_set():  # noqa: ASYNC110 - nothing tells that a fetch has failed
                    await asyncio.sleep(0.01)
            assert unavailable(keys, "rotated"), "nobody has said that it is not there"
            now[0] += 30
            issuer.status = 200
            assert await known(keys, "rotated") is None
            now[0] += 29
            assert not keys.find("rotated")
            issuer.status, issuer.body = 503, jwks(published(private("ES256"), kid="rotated"))
            now[0] += 1
            assert unavailable(keys, "rotated"), "it may have been published since"


async def test_what_is_asked_for_while_the_issuer_answers_may_be_published_after_its_answer() -> None:
    issuer, answers, now = Issuer(), asyncio.Event(), [0.0]
    issuer.body = jwks(published(private("ES256"), kid="old"))

    async def held(request: web.Request) -> web.Response:
        answer = await Issuer.answer(issuer, request)
        if issuer.fetches == 2:
            await answers.wait()
        return answer

    def clock() -> float:
        now[0] += 0.001
        return now[0]

    issuer.answer = held  # type: ignore[method-assign, assignment]  # of this issuer
    async with issuing(issuer) as url:
        keys = JwksKeys(url, times=JwksTimes(fetch_timeout_s=TIMEOUT_S), clock=clock)
        async with fetching(keys):
            assert await known(keys, "old")
            now[0] += 30
            assert unavailable(keys, "before")
            await issuer.reached(2)
            assert unavailable(keys, "meanwhile")
            answers.set()
            assert await known(keys, "before") is None
            assert unavailable(keys, "meanwhile")


@pytest.mark.parametrize(("status", "body"), [(500, b""), (302, b""), (200, b"no json"), (200, b"x" * 300_000)])
async def test_the_last_keys_stay_good_while_the_issuer_is_away_but_not_for_ever(status: int, body: bytes) -> None:
    issuer = Issuer()
    issuer.body = jwks(published(private("ES256"), kid="k"))
    now = [0.0]
    async with issuing(issuer) as url:
        keys = JwksKeys(url, times=JwksTimes(refresh_s=0.01, retry_s=0.01, stale_s=100), clock=lambda: now[0])
        async with fetching(keys):
            assert await known(keys, "k")
            issuer.status, issuer.body = status, body
            await issuer.reached(issuer.fetches + 3)
            now[0] += 100
            assert keys.find("k")
            now[0] += 1
            with pytest.raises(KeysUnavailable):
                keys.find("k")


async def test_an_issuer_that_drips_its_answer_is_asked_again_in_time() -> None:
    """Each piece comes within the bound of one read, and all of it never."""
    issuer, over = Issuer(), asyncio.Event()
    issuer.body = jwks(published(private("ES256"), kid="k"))

    async def drip(request: web.Request) -> web.StreamResponse:
        issuer.fetches += 1
        if issuer.fetches > 1:
            return await Issuer.answer(issuer, request)
        response = web.StreamResponse(headers={"Content-Length": "100000"})
        await response.prepare(request)
        while not over.is_set():
            await response.write(b" ")
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.02)
        return response

    issuer.answer = drip  # type: ignore[method-assign, assignment]  # of this issuer
    async with issuing(issuer) as url:
        keys = JwksKeys(url, times=JwksTimes(retry_s=0.01, fetch_timeout_s=0.2))
        async with fetching(keys):
            assert await known(keys, "k")
        over.set()


async def test_a_service_takes_tokens_of_an_issuer_that_publishes_its_keys(tmp_path: Path) -> None:
    issuer = Issuer()
    issuer.body = jwks(*(published(private(kind), kid=kind) for kind in KINDS))
    async with (
        issuing(issuer) as url,
        served(tmp_path, jwt_jwks_url=url, jwt_issuer=ISSUER, jwt_audience="us") as running,
    ):
        async with asyncio.timeout(TIMEOUT_S):
            while (await running.post("v", "hi", signed("ES256", "ES256")))[0] == 503:
                pass  # what a client does
        for kind in KINDS:
            assert (await running.post("v", "hi", signed(kind, kind, name="Ana")))[0] == 201
        _, problem = await running.post("v", "hi", signed("ES256", "ES256", ec.generate_private_key(ec.SECP256R1())))
        assert problem["code"] == "invalid_token"
