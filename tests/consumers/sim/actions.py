"""What may happen in a run, and how often."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from livecomments.log.session_names import session_name
from tests.consumers.sim.loop import pass_time

if TYPE_CHECKING:
    from tests.consumers.sim.world import World

_CLIENTS_MAX: Final = 5


def choose(world: "World") -> "Action":
    """The next thing that happens."""
    actions, weights = zip(*(_CALM_ACTIONS if world.is_calm else _ACTIONS), strict=True)
    action: Action = world.rng.choices(actions, weights)[0]
    return action


async def append(world: "World") -> None:
    world.append(world.rng.choice((1, 1, 2, 4, 8, 16)))


async def join(world: "World") -> None:
    if len(world.clients) < _CLIENTS_MAX:
        world.join()


async def leave(world: "World") -> None:
    if world.clients:
        world.leave(world.rng.choice(world.clients))


async def cut(world: "World") -> None:
    if world.clients:
        world.rng.choice(world.clients).cut()


async def slow(world: "World") -> None:
    if world.clients:
        client = world.rng.choice(world.clients)
        client.is_slow = not client.is_slow
        client.quick_since = None


async def stall(world: "World") -> None:
    if world.clients:
        client = world.rng.choice(world.clients)
        client.is_stalled = not client.is_stalled
        client.quick_since = None
        client.wake()


async def lag(world: "World") -> None:
    world.rng.choice(world.edges).view.lag_s = world.rng.choice((0.0, 0.0, 0.05, 0.3, 2.0))


async def away(world: "World") -> None:
    world.rng.choice(world.edges).view.away_until = world.now + world.rng.choice((0.3, 3.0))


async def silent(world: "World") -> None:
    world.rng.choice(world.edges).view.silent_until = world.now + world.rng.choice((0.3, 4.0))


async def store_away(world: "World") -> None:
    world.store.away_until = world.now + world.rng.choice((0.3, 1.0, 4.0))


async def persist_stall(world: "World") -> None:
    world.persist_stalled_until = world.now + world.rng.choice((1.0, 5.0))


async def retention(world: "World") -> None:
    """The log forgets what is stored; now and then more than that."""
    through = world.store.watermark_offset if world.rng.random() < 0.7 else world.log.end
    world.log.forget(world.rng.randint(world.log.start, max(world.log.start, through)))


async def overtaken(world: "World") -> None:
    """An edge reads nothing for a while, and the log forgets what it would have read next."""
    view = world.rng.choice(world.edges).view
    view.silent_until = world.now + 0.5
    await pass_time(0.05)
    world.append(world.rng.randint(5, 20))
    world.log.forget(world.rng.randint(world.log.start, world.log.end))
    world.seen["overtaken"] += 1


async def lose_end(world: "World") -> None:
    """The log loses its newest records, which nobody had stored, and everything else goes on."""
    least = max(world.store.stored, world.log.start)
    if not world.loses_end or least >= world.log.end:
        return
    for edge in world.edges:
        edge.note_loss()
    world.log.lose_end(world.rng.randint(least, world.log.end - 1), made_anew=world.rng.random() < 0.5)
    end = world.log.position(world.log.end)
    world.comments = [(video_id, position) for video_id, position in world.comments if position < end]
    for client in world.clients:
        shown = client.shown
        shown.knows_loss = shown.position is None or shown.position < end
    world.seen["lost end"] += 1
    world.losses += 1


async def restart(world: "World") -> None:
    edge = world.rng.choice(world.edges)
    await edge.kill()
    edge.start()


async def drain(world: "World") -> None:
    edge = world.rng.choice(world.edges)
    await edge.hub.drain(0.5)
    await pass_time(0.01)
    edge.check_let_go()
    await edge.kill()
    edge.start()


async def revoke(world: "World") -> None:
    """Somebody's session ends, on all edges at once."""
    if world.clients:
        world.revocations.revoke(session_name(world.rng.choice(world.clients).name))


async def quiet(world: "World") -> None:
    await pass_time(world.rng.uniform(1.0, 7.0))


Action = Callable[["World"], Awaitable[None]]

_CALM_ACTIONS: Final = [
    (append, 40),
    (join, 8),
    (leave, 2),
    (cut, 10),
    (slow, 4),
    (stall, 4),
    (quiet, 2),
]
_ACTIONS: Final = [
    *_CALM_ACTIONS,
    (lag, 3),
    (away, 2),
    (silent, 3),
    (store_away, 3),
    (persist_stall, 4),
    (retention, 2),
    (overtaken, 2),
    (lose_end, 5),
    (restart, 2),
    (drain, 1),
    (revoke, 2),
]
