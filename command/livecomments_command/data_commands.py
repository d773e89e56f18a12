"""The commands for people who look after records: `dead-letters`, `rebuild`, `verify`, `export`, `replay`."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from livecomments.runtime.console import WIDTH_WITHOUT_TERMINAL, plain_console
from livecomments_command.records.kept_files import checkpoint_of_one
from livecomments_command.settings import ToolSettings, load
from livecomments_schemas.errors import StartRefused

epochs = typer.Typer(
    help="The generations of the comments topic: which there are, and opening the next.", no_args_is_help=True
)
dead_letters = typer.Typer(
    help="Records that the stream job set aside, since nobody can read them.", no_args_is_help=True
)


EpochOption = Annotated[int | None, typer.Option(help="An epoch that is over; without, the newest.", min=1)]


@epochs.command("list")
def list_epochs(context: typer.Context) -> None:
    """List the epochs, oldest first: what each was opened with, and which one is open."""
    from livecomments_command.epochs import table_of_epochs
    from livecomments_command.records.opened import opened_epochs

    settings = settings_of(context)
    table = table_of_epochs(asyncio.run(opened_epochs(settings)), settings.topic_prefix)
    plain_console(width=WIDTH_WITHOUT_TERMINAL).print(table)


@epochs.command("next")
def open_next_epoch(
    context: typer.Context,
    topic_lost: Annotated[
        bool, typer.Option("--topic-lost", help="The topic is gone for good, and with it what is not in the store.")
    ] = False,
    end_lost: Annotated[
        bool, typer.Option("--end-lost", help="The topic lost its end; what is still in it is stored first.")
    ] = False,
) -> None:
    """Open the next epoch after the topic of comments, or its end, was lost. Safe to run again."""
    from livecomments_command.next_epoch import open_next

    settings = settings_of(context)
    if not settings.kafka:
        raise StartRefused("The embedded log loses no topic: there is nothing to open.")
    if topic_lost and end_lost:
        raise StartRefused("Say --topic-lost or --end-lost, not both.")
    asyncio.run(open_next(settings, topic_lost=topic_lost, end_lost=end_lost, say=_say))


@epochs.command("grow")
def grow_epoch(
    context: typer.Context,
    partitions: Annotated[int, typer.Option(help="Of the next epoch: a multiple of what the open one has.", min=1)],
) -> None:
    """End the open epoch and open the next with more partitions, while all goes on. Safe to run again."""
    from livecomments_command.grow import grow

    settings = settings_of(context)
    if not settings.kafka:
        raise StartRefused("The embedded log is one process's: it needs no more partitions.")
    asyncio.run(grow(settings, partitions, plain_console()))


@dead_letters.command("list")
def list_letters(
    context: typer.Context,
    reason: Annotated[str | None, typer.Option(help="Only those set aside for this reason.")] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1, max=100_000)] = 50,
) -> None:
    """List dead letters, oldest first, and how many there are for each reason."""
    from livecomments_command.records.dead_letters import table_of_letters
    from livecomments_command.records.opened import opened

    async def run() -> None:
        async with opened(settings_of(context), needs_store=False) as found:
            table = await table_of_letters(found.dead_letter_log, reason, limit)
        plain_console(width=WIDTH_WITHOUT_TERMINAL).print(table)

    asyncio.run(run())


@dead_letters.command("show")
def show_letter(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="Its number, as listed.")],
    raw: Annotated[bool, typer.Option("--raw", help="The bytes of its value and nothing else.")] = False,
) -> None:
    """Show one dead letter: reason, origin, key and value, as JSON."""
    from livecomments_command.records.dead_letters import find_letter
    from livecomments_command.records.opened import opened

    async def run() -> bytes:
        async with opened(settings_of(context), needs_store=False) as found:
            letter = await find_letter(found.dead_letter_log, number)
        if raw:
            return letter.value or b""
        return orjson.dumps(letter.to_json(), option=orjson.OPT_INDENT_2) + b"\n"

    sys.stdout.buffer.write(asyncio.run(run()))


@dead_letters.command("replay")
def replay(
    context: typer.Context,
    numbers: Annotated[list[int] | None, typer.Argument(help="Their numbers, as listed.")] = None,
    reason: Annotated[str | None, typer.Option(help="All of this reason.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Append records anew that can be read by now, each once. Exit code 1 if one could not be."""
    from livecomments_command.records.dead_letters import replay_letters
    from livecomments_command.records.opened import opened

    if sum((bool(numbers), reason is not None, everything)) != 1:
        raise StartRefused("Say which: numbers, --reason, or --all.")
    chosen = (numbers or None) if reason is None else reason

    async def run() -> bool:
        whole = True
        async with opened(settings_of(context), needs_store=False) as found:
            async for sentence in replay_letters(found, chosen, dry_run=dry_run):
                whole = whole and "not replayed" not in sentence
                _say(sentence)
        return whole

    sys.exit(0 if asyncio.run(run()) else 1)


def rebuild(
    context: typer.Context,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Store all that the log holds, whatever the watermarks say.")
    ] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="With --from-start: remembers how far it is, to go on after a stop.")
    ] = None,
    from_export: Annotated[
        Path | None, typer.Option(help="A whole export, for what the log no longer holds; jsonl or parquet.")
    ] = None,
    from_mirror: Annotated[
        str | None, typer.Option(help="A topic that replay --to-topic wrote, where the epoch's own is lost.")
    ] = None,
    epoch: EpochOption = None,
) -> None:
    """Fill the store from the log, beside the running stream job; goes on if run again. Exit code 1 if some is lost."""
    from livecomments_command.records.mirrored import Mirrored
    from livecomments_command.records.opened import opened, refuse_open_epoch
    from livecomments_command.records.rebuild import Rebuilt
    from livecomments_command.records.rebuild import rebuild as fill
    from livecomments_command.records.rebuild_export import store_export

    if checkpoint is not None and not from_start:
        raise StartRefused("--checkpoint goes with --from-start; without it the watermarks tell how far it is.")

    async def run(kept: Path | None) -> Rebuilt:
        progress, mirror = plain_console(stderr=True), None
        if from_mirror is not None:
            await refuse_open_epoch(settings_of(context), epoch)
            mirror = Mirrored(from_mirror, progress)
        async with opened(settings_of(context), epoch=epoch, mirror=mirror) as found:
            notes, by = await store_export(found, progress, from_export) if from_export else ([], None)
            done = await fill(found, progress, from_start=from_start, checkpoint=kept, judge=by)
            return done._replace(notes=[*notes, *done.notes])

    with checkpoint_of_one(checkpoint) as kept:
        done = asyncio.run(run(kept))
    _say(*done.notes, f"{done.records:,} records stored, {done.invalid:,} of them invalid.")
    sys.exit(0 if done.whole else 1)


def verify(
    context: typer.Context,
    video: Annotated[str | None, typer.Option(help="Only this video.")] = None,
    sample: Annotated[float | None, typer.Option(help="A share of all videos, 0 to 1.", min=0, max=1)] = None,
    seed: Annotated[int, typer.Option(help="Which videos are in the sample.", min=0)] = 0,
    with_export: Annotated[
        Path | None, typer.Option("--export", help="Compare with this whole export instead of the log.")
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Compare the clean topic with the log instead of the store.")
    ] = False,
    mirror: Annotated[str | None, typer.Option(help="Compare with this mirror of the log instead of the log.")] = None,
    epoch: EpochOption = None,
) -> None:
    """Compare the store with the log, row by row, up to the watermark. Exit code 1 if they differ."""
    from livecomments_command.records.mirrored import Mirrored
    from livecomments_command.records.opened import opened
    from livecomments_command.records.replay_plan import check_video
    from livecomments_command.records.verify import Findings, sampled
    from livecomments_command.records.verify import verify as compare

    if video is not None and sample is not None:
        raise StartRefused("Say --video or --sample, not both.")
    check_video(video)
    if clean and (video, sample, with_export, mirror) != (None, None, None, None):
        raise StartRefused("--clean compares all of an epoch: leave out --video, --sample, --export and --mirror.")

    async def run() -> Findings:
        if clean:
            from livecomments_command.deriving.running import compare_clean

            return await compare_clean(settings_of(context), plain_console(stderr=True), epoch)
        progress = plain_console(stderr=True)
        by = None if mirror is None else Mirrored(mirror, progress)
        async with opened(settings_of(context), epoch=epoch, mirror=by) as found:
            chosen = sampled(1.0 if sample is None else sample, seed)
            if with_export is not None:
                from livecomments_command.records.rebuild_export import verify_export

                return await verify_export(found, progress, with_export, video_id=video, chosen=chosen)
            return await compare(found, progress, video_id=video, chosen=chosen)

    findings = asyncio.run(run())
    _say(*findings.sentences())
    sys.exit(0 if findings.ok else 1)


def erase(
    context: typer.Context,
    author: Annotated[str, typer.Option(help="The id of the person, as in `author.id`.")],
    from_export: Annotated[
        list[str] | None,
        typer.Option("--export", help="And out of this export or feed, s3://… too; may be given several times."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Remembers how far the store is scanned, to go on after a stop.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
) -> None:
    """Delete all that one person wrote, beside running services. Exit code 1 if more came meanwhile."""
    from livecomments_command.records.erase import Erased, counts_of
    from livecomments_command.records.erase import erase as delete_all
    from livecomments_command.records.erase_exports import erase_from, is_full
    from livecomments_command.records.opened import opened
    from livecomments_command.records.places import name_of

    if not author:
        raise StartRefused("--author must not be empty.")
    settings, console = settings_of(context), plain_console(stderr=True)

    async def run(kept: Path | None) -> tuple[Erased, str]:
        for where in from_export or []:
            await is_full(where)  # what cannot be erased there is said before anything is
        counts = await counts_of(settings)
        async with opened(settings) as found:
            done = await delete_all(found, console, author, counts=counts, checkpoint=kept, is_trial=dry_run)
            return done, found.topic

    with checkpoint_of_one(checkpoint) as kept:
        done, topic = asyncio.run(run(kept))
    _say(*done.sentences(author, topic, has_retention=bool(settings.kafka), is_trial=dry_run))
    for where in from_export or []:
        if not dry_run:
            _say(f"{name_of(where)}: {asyncio.run(erase_from(where, console, author)):,} comments removed.")
    sys.exit(1 if done.left else 0)


def export(
    context: typer.Context,
    directory: Annotated[str, typer.Argument(help="Where the files go; of changes, s3://bucket/folder too.")],
    form: Annotated[str, typer.Option("--format", help="jsonl, csv or parquet; of changes no csv.")] = "jsonl",
    video: Annotated[str | None, typer.Option(help="Only this video.")] = None,
    changes: Annotated[
        bool, typer.Option("--changes", help="Comments and deletes as they came; run again, only what is new.")
    ] = False,
    after: Annotated[
        str | None, typer.Option(help="Changes since this export, or since what these changes reach to.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Changes for ever, until it is stopped.")] = False,
    every_s: Annotated[float, typer.Option(help="With --follow: a file so often, in seconds.", min=1)] = 300,
    step_mb: Annotated[int, typer.Option(help="Changes: a file at so many MB in memory.", min=1, max=1024)] = 64,
    epoch: EpochOption = None,
) -> None:
    """Export the log's comments as they are now, duplicates and deletes applied; run again, it goes on."""
    from livecomments_command.records.export import ExportPlan, Manifest
    from livecomments_command.records.export import export as write
    from livecomments_command.records.opened import opened
    from livecomments_command.records.replay_plan import check_video

    check_video(video)
    console = plain_console(stderr=True)
    if changes or after is not None or follow:
        from livecomments_command.records.feed import Rhythm
        from livecomments_command.records.feed_steps import FeedPlan
        from livecomments_command.records.feeding import run_feed

        rhythm = Rhythm(bytes_max=step_mb << 20, every_s=every_s if follow else None)
        plan = FeedPlan(form, video, after)
        _say(str(asyncio.run(run_feed(settings_of(context), console, directory, plan, rhythm, epoch))))
        return
    if "://" in directory:
        raise StartRefused(f"{directory}: what goes into a bucket is a feed of changes. Say --changes or --follow.")

    async def run() -> Manifest:
        async with opened(settings_of(context), needs_store=False, epoch=epoch) as found:
            return await write(found, console, ExportPlan(Path(directory), form, video))

    done = asyncio.run(run())
    _say(f"{done.comments:,} comments in {len(done.content['files'])} files, digest {done.digest}")


def compact(
    place: Annotated[str, typer.Argument(help="A feed of changes; s3://bucket/folder too.")],
    step_mb: Annotated[int, typer.Option(help="A step has up to so many MB in memory.", min=1, max=1024)] = 64,
    from_step: Annotated[int, typer.Option(help="The first step to merge.", min=1)] = 1,
    through_step: Annotated[
        int | None, typer.Option(help="The last; without, the newest stays as it is.", min=1)
    ] = None,
) -> None:
    """Merge small steps of a feed, which then says the same in fewer files. Reads no log."""
    from livecomments_command.records.compacting import compact as merge_steps

    console = plain_console(stderr=True)
    _say(str(asyncio.run(merge_steps(place, console, step_mb << 20, first=from_step, last=through_step))))


def replay_log(
    context: typer.Context,
    video: Annotated[str | None, typer.Option(help="Only this video.")] = None,
    from_time: Annotated[str | None, typer.Option(help="What was appended since, e.g. 2026-11-22T10:00:00Z.")] = None,
    from_id: Annotated[str | None, typer.Option(help="This record and, elsewhere, what was appended since.")] = None,
    from_offset: Annotated[list[str] | None, typer.Option(help="partition:offset, and no other partitions.")] = None,
    until: Annotated[str, typer.Option(help="now; a time, not included; or an id, included.")] = "now",
    out: Annotated[Path | None, typer.Option(help="A new file, instead of standard output.")] = None,
    to_topic: Annotated[
        str | None, typer.Option(help="Another topic of the same Kafka, for the records themselves.")
    ] = None,
    pace: Annotated[
        float | None, typer.Option(help="So many times as fast as it came; as fast as possible without.", min=0.001)
    ] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="All partitions as one, by the times of their appends.")
    ] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Remembers how far it is, to go on if run again with the same options.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="And what comes, for ever, until it is stopped.")] = False,
    epoch: EpochOption = None,
) -> None:
    """Write the topic's records again, each with its verdict, as JSON lines; partition by partition, from the first."""
    from livecomments_command.records.opened import Opened, opened
    from livecomments_command.records.replay import replay as write_records
    from livecomments_command.records.replay_followed import Followed, stop_of
    from livecomments_command.records.replay_paced import Pace
    from livecomments_command.records.replay_plan import planned, refuse_endless
    from livecomments_command.records.replay_sinks import Checkpoint, opened_sink

    if follow:
        refuse_endless(has_pace=pace is not None, is_merged=merged, until=until)
    plan, settings = planned(video, from_time, from_id, from_offset or [], until), settings_of(context)
    console = plain_console(stderr=True, quiet=out is None and sys.stdout.isatty())
    said: dict[str, Any] = {
        "video": video,
        "from": from_time or from_id or from_offset,
        "until": until,
        "out": out and str(out),
        "topic": to_topic,
    } | ({"merged": True} if merged else {})

    async def run(kept: Path | None) -> None:
        following = Followed(stop_of(settings)) if follow else None
        async with opened(settings, needs_store=False, epoch=epoch) as found:
            known = None if kept is None else Checkpoint(kept, {"epoch": found.log.epoch, **said})
            await write(found, known, following)

    async def write(found: Opened, known: Checkpoint | None, following: Followed | None) -> None:
        by = Pace(pace) if pace else None
        async with opened_sink(settings, found, out, to_topic, known) as sink:
            done = await write_records(
                found, console, plan, sink, pace=by, is_merged=merged, checkpoint=known, follow=following
            )
            console.print(f"{done.lines:,} records. To go on: {done.options()}")

    with checkpoint_of_one(checkpoint) as kept:
        asyncio.run(run(kept))


def _say(*sentences: str) -> None:
    console = plain_console()
    for sentence in sentences:
        console.print(sentence)


def settings_of(context: typer.Context) -> ToolSettings:
    """Load the settings from the environment that the command was started with."""
    environ: Mapping[str, str] = context.obj
    return load(ToolSettings, environ)
