"""Who asks the same at the same time shares one call; nobody takes it from another; what nobody awaits ends."""

import asyncio

import pytest

from livecomments.runtime.single_flight import FreshFlight, SingleFlight


class Question:
    """A call that a test answers; counts how often it began and was cancelled."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.answers: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.begun += 1
        try:
            return await asyncio.shield(self.answers)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_herd_asks_once() -> None:
    flights, question = SingleFlight[str, str](), Question()
    herd = [asyncio.create_task(flights.join("a", question)) for _ in range(100)]
    await settle()
    question.answers.set_result("said")
    assert await asyncio.gather(*herd) == ["said"] * 100
    assert question.begun == 1


async def test_who_asks_something_else_asks_for_themselves() -> None:
    flights, one, other = SingleFlight[str, str](), Question(), Question()
    both = asyncio.gather(*(flights.join(key, call) for key, call in (("a", one), ("b", other))))
    await settle()
    one.answers.set_result("one")
    other.answers.set_result("other")
    assert await both == ["one", "other"]


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    flights, question = SingleFlight[str, str](), Question()
    leaves, stays = (asyncio.create_task(flights.join("a", question)) for _ in range(2))
    await settle()
    leaves.cancel()
    await settle()
    question.answers.set_result("said")
    assert await stays == "said"
    assert question.cancelled == 0


async def test_a_call_that_nobody_awaits_any_more_is_cancelled_and_the_next_begins_anew() -> None:
    flights, question = SingleFlight[str, str](), Question()
    herd = [asyncio.create_task(flights.join("a", question)) for _ in range(3)]
    await settle()
    for one in herd:
        one.cancel()
    await settle()
    assert (question.begun, question.cancelled) == (1, 1)
    question.answers.set_result("said")
    assert await flights.join("a", question) == "said"
    assert question.begun == 2


async def test_a_failure_is_everybodys() -> None:
    flights, question = SingleFlight[str, str](), Question()
    herd = asyncio.gather(*(flights.join("a", question) for _ in range(3)), return_exceptions=True)
    await settle()
    question.answers.set_exception(OSError("away"))
    assert [type(said) for said in await herd] == [OSError] * 3


async def test_an_answer_that_is_there_serves_nobody_who_asks_later() -> None:
    flights = SingleFlight[str, str]()
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def first() -> str:
        return await answer

    async def second() -> str:
        return "new"

    waiting = asyncio.create_task(flights.join("a", first))
    await settle()
    answer.set_result("old")
    await asyncio.sleep(0)  # the call has ended; whoever waits for it has not been told yet
    assert await flights.join("a", second) == "new"
    assert await waiting == "old"


async def test_who_is_answered_late_takes_the_next_call_from_nobody() -> None:
    flights, first, second = SingleFlight[str, str](), Question(), Question()
    waiting = asyncio.create_task(flights.join("a", first))
    await settle()
    first.answers.set_result("old")
    await asyncio.sleep(0)  # the call has ended; whoever waits for it has not been told yet
    herd = [asyncio.create_task(flights.join("a", second))]
    await settle()
    assert await waiting == "old"
    herd.append(asyncio.create_task(flights.join("a", second)))
    await settle()
    second.answers.set_result("new")
    assert await asyncio.gather(*herd) == ["new", "new"]
    assert second.begun == 1


@pytest.mark.parametrize("count", [1, 2])
async def test_what_a_cancelled_call_raises_is_nobodys_error(count: int) -> None:
    flights = SingleFlight[str, str]()
    said: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))

    async def fails_on_its_way_out() -> str:
        try:
            await asyncio.get_running_loop().create_future()
            return "never"
        finally:
            raise OSError("while closing")

    herd = [asyncio.create_task(flights.join("a", fails_on_its_way_out)) for _ in range(count)]
    await settle()
    for one in herd:
        one.cancel()
    await settle()
    assert all(one.cancelled() for one in herd)
    assert said == []


class Counted:
    """A call that ends when it is let go: with its number, or with `error`."""

    def __init__(self) -> None:
        self.begun = 0
        self.goes_on = asyncio.Event()
        self.error: BaseException | None = None

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        return number


async def run_on(rounds: int = 200) -> None:
    """Let every task come as far as it can."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def test_a_fresh_answer_is_of_a_call_that_began_later_and_a_crowd_shares_the_next() -> None:
    flights, call = FreshFlight[str, int](), Counted()
    tasks = [asyncio.create_task(flights.join("a", call))]
    await run_on()
    assert call.begun == 1
    tasks += [asyncio.create_task(flights.join("a", call)) for _ in range(100)]
    await run_on()
    assert call.begun == 1  # the next one waits for it
    call.goes_on.set()
    assert await asyncio.gather(*tasks) == [1, *([2] * 100)]
    assert await flights.join("a", call) == 3


class Bug(BaseException):
    """Not an Exception, as a cancellation is none."""


@pytest.mark.parametrize("kind", [FreshFlight, SingleFlight])
@pytest.mark.parametrize("error", [ValueError("x"), Bug()])
async def test_whatever_a_call_raises_reaches_all_who_wait_and_the_next_one_is_new(
    kind: type[SingleFlight[str, int]], error: BaseException
) -> None:
    flights, call = kind(), Counted()
    first = asyncio.create_task(flights.join("a", call))
    await run_on()
    later = [asyncio.create_task(flights.join("a", call)) for _ in range(5)]
    await run_on()
    call.error = error
    call.goes_on.set()
    found = await asyncio.gather(first, *later, return_exceptions=True)
    assert [type(one) for one in found] == [type(error)] * 6
    call.error = None
    assert await flights.join("a", call) == call.begun


async def test_one_who_leaves_takes_a_fresh_answer_from_nobody_and_all_who_leave_end_the_call() -> None:
    flights, call = FreshFlight[str, int](), Counted()
    tasks = [asyncio.create_task(flights.join("a", call)) for _ in range(3)]
    await run_on()
    tasks[0].cancel()
    await run_on()
    assert not any(task.done() for task in tasks[1:])
    for task in tasks[1:]:
        task.cancel()
    await asyncio.wait(tasks)
    call.goes_on.set()
    assert await flights.join("a", call) == 2
