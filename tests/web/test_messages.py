"""Each message of the corpus on a real connection: what of it reaches the application, and what is answered."""

import re
from collections import Counter
from typing import Final

from tests.corpus.messages import HIDDEN, Vector, all_vectors
from tests.web.echo import Reached, echoing, said

STATUS: Final = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)
VECTORS_MIN: Final = 400
CONTENTS: Final = (b"", b"abc", b"hello", HIDDEN, HIDDEN * 2, b"x" * 2_000)


def wrong_of(vector: Vector, reached: list[Reached], answer: bytes) -> str | None:
    """What is not as it must be."""
    statuses = [int(status) for status in STATUS.findall(answer) if status != b"100"]
    if [one.path for one in reached] != [path for path in vector.served if path != "*"]:
        return f"served {[one.path for one in reached]}"
    if any(one.content not in CONTENTS for one in reached):
        return f"content {[one.content[:40] for one in reached]}"
    if len(statuses) != len(vector.served) + bool(vector.refusals):
        return f"answers {statuses}"
    if answer.count(b"\r\ndate: ") != len(statuses):
        return "an answer without a date"
    if not vector.refusals:
        return None
    refusal = answer[answer.rindex(b"HTTP/1.1 ") :]
    if statuses[-1] not in vector.refusals:
        return f"refused by {statuses[-1]}"
    needed = (b"application/problem+json", b'"code":"', b"connection: close\r\n", b"cache-control: no-store\r\n")
    return None if all(one in refusal for one in needed) else f"refused by {refusal!r}"


async def test_each_message_is_served_as_its_framing_says_or_refused_with_an_answer() -> None:
    wrong = []
    async with echoing() as (echo, port):
        for vector in all_vectors():
            echo.reached.clear()
            answer = await said(port, vector.raw)
            if (found := wrong_of(vector, echo.reached, answer)) is not None:
                wrong.append(f"{vector.section}, {vector.name}: {found}: {vector.raw[:120]!r}")
    assert not wrong, f"{len(wrong)} of {len(all_vectors())}:\n" + "\n".join(wrong[:20])


def test_the_corpus_is_large_and_names_what_it_goes_by() -> None:
    vectors = all_vectors()
    assert len(vectors) >= VECTORS_MIN
    assert all(re.fullmatch(r"(9110|9112|9113|6585) [\dA-Z.]+", vector.section) for vector in vectors)
    assert max(Counter((vector.section, vector.name) for vector in vectors).values()) == 1
