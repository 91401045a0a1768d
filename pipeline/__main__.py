"""Look after the pictures that `luigi --module pipeline StoreImage` stores."""

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

from pipeline import catchup, configuration, log, minutes, processes, sandbox, settings, upkeep
from pipeline.errors import BadSettings, PipelineError, StorageFailed
from pipeline.version import VERSION

WELL, NOT_WELL, FAILED, UNUSABLE, STOPPED = 0, 1, 30, configuration.UNUSABLE, 130
LEFT_ALONE = 5 * minutes.MINUTE
MOST_DAYS = 3660
CODES = "Exit codes: 0 %s; 30 failed, as the line on stderr says; 40 arguments or settings that cannot be used; 130 Ctrl-C."
SETTINGS = " Settings are read from luigi.cfg; `check` says from which, and tries them out."


class Parser(argparse.ArgumentParser):
    """Answer unusable arguments with one line and the exit code of the contract."""

    def error(self, message: str) -> NoReturn:
        log.say(f"{self.prog}: {message}")
        self.exit(UNUSABLE)


def show(options: argparse.Namespace) -> int:
    """Open the newest picture, or a minute's, in your viewer."""
    path = settings.archive().local_path(options.timestamp)
    if not path.exists():
        print(f"there is no {path}: nothing is stored there yet", file=sys.stderr)
        return FAILED
    if os.name == "nt":
        os.startfile(path)  # type: ignore[attr-defined, unused-ignore]
        return WELL
    is_mac = sys.platform == "darwin"
    opener = shutil.which("open" if is_mac else "xdg-open")
    if not opener or not (is_mac or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        print(f"there is no {'display' if opener else 'xdg-open'} here; the picture is {path}", file=sys.stderr)
        return FAILED
    if code := subprocess.call([opener, path]):
        log.say(f"{opener} ended with {code}; the picture is {path}")
    return FAILED if code else WELL


def catch_up(options: argparse.Namespace) -> int:
    """Store the minutes that are missing: those without a picture, from the first picture on or from --start."""
    log.logger.setLevel("WARNING")
    processes.check_semaphores()
    now, archive = minutes.present_minute(), settings.archive()
    first, pruned_before = None if options.start else archive.first(), archive.pruned_before()
    start = options.start or max(now - options.since, first or now)
    if not options.start and options.stop and options.stop <= now - options.since:
        raise BadSettings(f"--stop is before {minutes.name(now - options.since)}, where --since begins: give a --start")
    if min(start, now - options.since) < now - timedelta(days=MOST_DAYS):
        raise BadSettings(f"that is too far back: a catch-up takes {MOST_DAYS:,} days at most")
    stop = min(options.stop, now) if options.stop else now - LEFT_ALONE
    if options.start and start < pruned_before:
        log.say(f"what is missing before {minutes.name(pruned_before)} was pruned, and stays missing")
    is_done, said = catchup.catch_up(start, stop, options.limit, options.workers, options.shared)
    log.say(said)
    if not options.start and (note := upkeep.before_first(first, max(now - options.since, pruned_before))):
        log.say(note)
    if not options.stop and (recent := len(archive.missing(max(start, stop), now))):
        log.say(f"{recent} of the last 5 minutes are missing too, and left to their own runs")
    return WELL if is_done else FAILED


def status(options: argparse.Namespace) -> int:
    """Say how things are: the newest picture, the last 24 hours, the quota, the disk."""
    found = upkeep.status(settings.archive())
    if options.format == "prometheus":
        print(upkeep.as_metrics(found, options.max_age), end="")
    else:
        print(json.dumps(found) if options.format == "json" else upkeep.as_text(found, options.max_age))
    return WELL if upkeep.is_well(found, options.max_age) else NOT_WELL


def verify(options: argparse.Namespace) -> int:
    """Check every file that is stored, and remove those that are damaged, for catch-up to store again."""
    archive = settings.archive()
    checked, removed, unchecked = upkeep.verify(archive, options.start, options.stop)
    then = "" if checked or unchecked else f": nothing of that time is stored in {archive.root}"
    pruned_before = archive.pruned_before()
    if missing := [minute for minute in removed if minute >= pruned_before]:
        then = f": catch-up --start {minutes.name(missing[0])} stores them"
    log.say(f"{checked:,} minutes checked, {len(removed):,} with files removed{then}", sys.stdout)
    if unchecked:
        raise StorageFailed(f"{unchecked:,} minutes could not be checked")
    return NOT_WELL if removed else WELL


def prune(options: argparse.Namespace) -> int:
    """Remove pictures older than `[storage] keep_days`, with their thumbnails, and leftovers; say what that frees."""
    if settings.storage_settings().keep_days is None:
        log.say("[storage] keep_days is not set: every picture is kept", sys.stdout)
    removed = upkeep.prune(settings.archive(), options.everything, options.dry_run)
    megabytes = sum(length for _, length in removed.values()) / 1e6
    said = ", ".join(f"{kind} {count:,}" for kind, (count, _) in sorted(removed.items())) or "nothing to remove"
    log.say(f"{'would free' if options.dry_run else 'freed'} {megabytes:,.1f} MB: {said}", sys.stdout)
    return WELL


def choose(options: argparse.Namespace) -> int:
    """Note what you think of a picture: by default of the newest."""
    print(options.choice(settings.archive(), options.minute, options.undo))
    return WELL


def check(options: argparse.Namespace) -> int:
    """Try out the whole configuration, and say in a line each what is well and what to do about the rest."""
    log.logger.setLevel("ERROR")  # what is warned of otherwise has its line here
    is_well = True
    for good, line in upkeep.check(options.offline):
        print(f"{'ok  ' if good else 'BAD '} {line}", flush=True)
        is_well = is_well and good
    return WELL if is_well else NOT_WELL


def serve(options: argparse.Namespace) -> int:
    """Serve sample pictures in the place of Unsplash until Ctrl-C."""
    try:
        server = sandbox.Server(options.port)
    except OSError as error:
        log.say(f"port {options.port} of 127.0.0.1: {error.strerror}: --port takes another")
        return FAILED
    with server, contextlib.suppress(KeyboardInterrupt):
        print(f"the sandbox: UNSPLASH_API_URL={server.sandbox.origin} with any key but {sandbox.WRONG_KEY}", flush=True)
        server.serve_forever()
    return WELL


def span(text: str) -> timedelta:
    """Return the span of an argument: 90m, 24h or 7d."""
    if not (parts := re.fullmatch(r"([1-9]\d{0,4})([mhd])", text, re.ASCII)):
        raise argparse.ArgumentTypeError(f"{text!r} is no span: write 90m, 24h or 7d")
    return int(parts[1]) * {"m": minutes.MINUTE, "h": timedelta(hours=1), "d": timedelta(days=1)}[parts[2]]


def number(kind: type[int] | type[float], least: float, most: float) -> Callable[[str], float]:
    """Return what reads a number of an argument."""

    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            if least <= (value := kind(text)) <= most:
                return value
        raise argparse.ArgumentTypeError(f"{text!r}: use {least} to {most:,}")

    return read


def parser() -> Parser:
    """Return what reads the arguments."""
    name, minute = Path(sys.argv[0]).name, minutes.MinuteParameter().parse
    parser = Parser(
        prog="python -m pipeline" if name == "__main__.py" else name,
        description=__doc__,
        epilog=f"VERB --help says more. {CODES % 'well, 1 what the help of the verb names'}",
    )
    parser.add_argument("--version", action="version", version=f"picture-a-minute {VERSION}")
    verbs = parser.add_subparsers(metavar="VERB", dest="verb")

    def add(name: str, run: Callable[[argparse.Namespace], int], help: str, codes: str = "well", about: str = "") -> Parser:
        verb: Parser = verbs.add_parser(name, help=help, description=about or run.__doc__, epilog=CODES % codes + SETTINGS)
        verb.set_defaults(run=run, storage_root=None)
        if run is not serve:
            text = "where the pictures are, in place of [storage] root of luigi.cfg: a folder, or s3://BUCKET/PREFIX"
            verb.add_argument("--storage-root", metavar="ROOT", help=text)
        return verb

    verb = add("show", show, "open the newest picture in your viewer")
    verb.add_argument("--timestamp", type=minute, help="open this minute's, as 2026-11-23T1205")

    verb = add("catch-up", catch_up, "store the minutes that are missing", "nothing is missing any more")
    verb.add_argument("--since", type=span, default=span("24h"), help="how far back: 90m, 24h, 7d (default: 24h)")
    verb.add_argument("--start", type=minute, help="first minute, in place of --since, also before the first picture")
    verb.add_argument("--stop", type=minutes.minute_in, help="first minute left alone (default: 5 minutes ago)")
    verb.add_argument("--limit", type=number(int, 1, 10**9), help="store so many minutes at most, the newest")
    verb.add_argument("--workers", type=number(int, 1, 256), default=8, help="processes side by side, at most (default: 8)")
    verb.add_argument("--shared", action="store_true", help="share the work with other hosts, through the luigid of luigi.cfg")

    codes = "the newest picture is new enough, and none ahead of the clock; 1 not so"
    verb = add("status", status, "say how things are", codes)
    formats = ("text", "json", "prometheus")
    verb.add_argument("--format", choices=formats, default="text", help="as lines, a JSON object, or metrics (extra monitor)")
    verb.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    read, text = number(float, 0.1, 10**9), "not well when the newest picture is older (default: 5)"
    verb.add_argument("--max-age", type=read, default=5, metavar="MINUTES", help=text)

    verb = add("verify", verify, "check what is stored", "every file is well; 1 files were removed")
    verb.add_argument("--start", type=minute, default=datetime.min, help="first minute checked (default: the oldest)")
    text = "first minute not checked (default: none)"
    verb.add_argument("--stop", type=minutes.minute_in, default=datetime.max, help=text)

    verb = add("prune", prune, "remove old pictures")
    verb.add_argument("--dry-run", action="store_true", help="only say what would go")
    verb.add_argument("--everything", action="store_true", help="metadata, addresses and reasons of failures go too")

    keep_help, ban_help = "make a picture a favourite, never pruned", "remove a picture, and never give its photo again"
    for name, choice, text in (("keep", upkeep.keep, keep_help), ("ban", upkeep.ban, ban_help)):
        verb = add(name, choose, text, about=f"{text.capitalize()}: by default the newest.")
        verb.add_argument(
            "minute", nargs="?", type=minute, help="the picture's minute, as 2026-11-23T1205 (default: the newest)"
        )
        verb.add_argument("--undo", action="store_true", help="take it back")
        verb.set_defaults(choice=choice)

    verb = add("check", check, "try out the configuration: begin here when something fails", "all is well; 1 not all")
    verb.add_argument("--offline", action="store_true", help="do not ask Unsplash, which costs one request of the quota")

    verb = add("sandbox", serve, "serve sample pictures in the place of Unsplash", "stopped")
    verb.add_argument(
        "--port", type=number(int, 0, 65535), default=8000, help="port on 127.0.0.1 (default: 8000; 0: any free one)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code: no error of the world ends in a traceback, and none looks like a verb's 1."""
    log.set_up()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for a terminal that has no ×
    reads, code = parser(), FAILED
    try:
        try:
            options = reads.parse_args(arguments)
            if not options.verb:
                reads.exit(UNUSABLE, reads.format_help())
            if "stop" in options and options.start and options.stop and options.start >= options.stop:
                reads.error("--stop is not after --start")
            if options.storage_root is not None:
                settings.use_root(options.storage_root)
            code = options.run(options)
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # `| head` has read enough
            code = FAILED
            log.say(f"{reads.prog}: {error}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be written has nowhere to go
    except PipelineError as error:
        log.say(f"{reads.prog}: {error}")
        return UNUSABLE if isinstance(error, BadSettings) else FAILED
    except KeyboardInterrupt as interrupt:
        log.say(str(interrupt) or "stopped")
        return STOPPED
    except Exception:
        log.logger.exception("%s: an error that nobody foresaw", reads.prog)
        return FAILED
    return code


if __name__ == "__main__":
    sys.exit(main())
