"""Look after the pictures that `luigi --module pipeline StoreImage` stores."""

import argparse
import contextlib
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

from pipeline import catchup, configuration, log, minutes, processes, sandbox, settings, upkeep
from pipeline.errors import BadSettings, BadTimestamp, LuigidAway, PipelineError
from pipeline.version import VERSION

WELL, NOT_WELL, FAILED, UNUSABLE, STOPPED = 0, 1, 30, configuration.UNUSABLE, 130
LEFT_ALONE = 5 * minutes.MINUTE
MOST_DAYS = 3660
CODES = "Exit codes: 0 %s; 30 failed, as the line on stderr says; 40 arguments or settings that cannot be used; 130 Ctrl-C."
SETTINGS = " Settings are read from luigi.cfg; `check` says from which, and tries them out."


class Parser(argparse.ArgumentParser):
    """Answer unusable arguments with one line and the exit code of the contract."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE, f"{self.prog}: {message}\n")


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
    return FAILED if subprocess.call([opener, path]) else WELL


def catch_up(options: argparse.Namespace) -> int:
    """Store the minutes that are missing: those without a picture, from the first picture on or from --start."""
    log.logger.setLevel("WARNING")
    processes.check_semaphores()
    now, first = minutes.present_minute(), settings.archive().oldest()
    start = options.start or max(now - options.since, first or now)
    if start < now - timedelta(days=MOST_DAYS):
        raise BadTimestamp(f"--start {minutes.name(start)} is too far back: a catch-up takes {MOST_DAYS:,} days at most")
    stop = options.stop or now - LEFT_ALONE
    is_done, said = catchup.catch_up(start, stop, options.limit, options.workers, options.shared)
    log.say(said)
    if not options.start and (note := upkeep.before_first(first, now - options.since)):
        log.say(note)
    if not options.stop and (recent := len(settings.archive().missing(max(start, stop), now))):
        log.say(f"{recent} of the last 5 minutes are missing too, and left to their own runs")
    return WELL if is_done else FAILED


def status(options: argparse.Namespace) -> int:
    """Say how things are: the newest picture, the last 24 hours, the quota, the disk."""
    found = upkeep.status(settings.archive())
    if options.format == "prometheus":
        said = upkeep.as_metrics(found, options.max_age)
    else:
        said = (json.dumps(found) if options.format == "json" else upkeep.as_text(found, options.max_age)) + "\n"
    if options.output:
        replace(options.output, said)
    else:
        print(said, end="")
    return WELL if upkeep.is_well(found, options.max_age) else NOT_WELL


def replace(path: Path, text: str) -> None:
    """Write a file that others read meanwhile."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        new.write_text(text, "utf-8")
        new.replace(path)
    except OSError as error:
        raise BadSettings(f"--output {path}: {error.strerror}") from None


def verify(options: argparse.Namespace) -> int:
    """Check every file that is stored, and remove those that are damaged, for catch-up to store again."""
    processes.check_semaphores()
    checked, removed = upkeep.verify(settings.archive(), options.start, options.stop)
    log.say(
        f"{checked:,} minutes checked, {removed:,} with files removed" + ": catch-up stores them" * bool(removed), sys.stdout
    )
    return NOT_WELL if removed else WELL


def prune(options: argparse.Namespace) -> int:
    """Remove pictures older than `[storage] keep_days`, with their thumbnails, and leftovers; say what that frees."""
    if settings.storage_settings().keep_days is None:
        log.say("[storage] keep_days is not set: every picture is kept", sys.stdout)
    removed = upkeep.prune(settings.archive(), options.everything, options.dry_run)
    counts, megabytes = Counter(kind for kind, _, _ in removed), sum(size for _, _, size in removed) / 1e6
    said = ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items())) or "nothing to remove"
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
        print(f"port {options.port} of 127.0.0.1: {error.strerror}: --port takes another", file=sys.stderr)
        return FAILED
    with server, contextlib.suppress(KeyboardInterrupt):
        print(f"the sandbox: UNSPLASH_API_URL={server.sandbox.origin} with any key but {sandbox.WRONG_KEY}", flush=True)
        server.serve_forever()
    return WELL


def minute(text: str) -> datetime:
    """Return the minute of an argument."""
    try:
        return minutes.MinuteParameter().parse(text)
    except BadTimestamp as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def end(text: str) -> datetime:
    """Return the minute that ends a span, which is the present one at the latest."""
    try:
        return min(minutes.minute_in(text), minutes.present_minute())
    except BadTimestamp as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def span(text: str) -> timedelta:
    """Return the span of an argument: 90m, 24h or 7d."""
    if not (parts := re.fullmatch(r"([1-9]\d{0,4})([mhd])", text, re.ASCII)):
        raise argparse.ArgumentTypeError(f"{text!r} is no span: write 90m, 24h or 7d")
    return int(parts[1]) * {"m": minutes.MINUTE, "h": timedelta(hours=1), "d": timedelta(days=1)}[parts[2]]


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number of an argument."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: use {least} to {most:,}")
        return int(text)

    return read


def age(text: str) -> float:
    """Return the minutes of an argument, more than none."""
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is no age: use a number of minutes")


def parser() -> Parser:
    """Return what reads the arguments."""
    name = Path(sys.argv[0]).name
    parser = Parser(
        prog="python -m pipeline" if name == "__main__.py" else name,
        description=__doc__,
        epilog=f"VERB --help says more. {CODES % 'well, 1 what the help of the verb names'}",
    )
    parser.add_argument("--version", action="version", version=f"picture-a-minute {VERSION}")
    verbs = parser.add_subparsers(metavar="VERB", dest="verb")

    def add(name: str, run: Callable[[argparse.Namespace], int], help: str, codes: str = "well", about: str = "") -> Parser:
        verb: Parser = verbs.add_parser(name, help=help, description=about or run.__doc__, epilog=CODES % codes + SETTINGS)
        verb.set_defaults(run=run)
        if run is not serve:
            text = "where the pictures are, in place of [storage] root of luigi.cfg: a folder, or s3://BUCKET/PREFIX"
            verb.add_argument("--storage-root", metavar="ROOT", help=text)
        return verb

    verb = add("show", show, "open the newest picture in your viewer")
    verb.add_argument("--timestamp", type=minute, help="open this minute's, as 2026-11-23T1205")

    verb = add("catch-up", catch_up, "store the minutes that are missing", "nothing is missing any more")
    verb.add_argument("--since", type=span, default=span("24h"), help="how far back: 90m, 24h, 7d (default: 24h)")
    verb.add_argument("--start", type=minute, help="first minute, in place of --since, also before the first picture")
    verb.add_argument("--stop", type=end, help="first minute left alone (default: 5 minutes ago)")
    verb.add_argument("--limit", type=whole(1, 10**9), help="store so many minutes at most, the newest")
    verb.add_argument("--workers", type=whole(1, 256), default=8, help="processes side by side, at most (default: 8)")
    verb.add_argument("--shared", action="store_true", help="share the work with other hosts, through the luigid of luigi.cfg")

    codes = "the newest picture is new enough, and none ahead of the clock; 1 not so"
    verb = add("status", status, "say how things are", codes)
    formats = ("text", "json", "prometheus")
    verb.add_argument("--format", choices=formats, default="text", help="as lines, a JSON object, or metrics (extra monitor)")
    verb.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    verb.add_argument("--output", type=Path, metavar="FILE", help="replace this file, at once as a whole, and print nothing")
    text = "not well when the newest picture is older (default: 5)"
    verb.add_argument("--max-age", type=age, default=5, metavar="MINUTES", help=text)

    verb = add("verify", verify, "check what is stored", "every file is well; 1 files were removed")
    verb.add_argument("--start", type=minute, default=datetime.min, help="first minute checked (default: the oldest)")
    verb.add_argument("--stop", type=end, default=datetime.max, help="first minute not checked (default: none)")

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
    verb.add_argument("--port", type=whole(0, 65535), default=8000, help="port on 127.0.0.1 (default: 8000; 0: any free one)")
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
            code = run(reads, arguments)
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
        return UNUSABLE if isinstance(error, BadSettings | BadTimestamp | LuigidAway) else FAILED
    except KeyboardInterrupt as interrupt:
        log.say(str(interrupt) or "stopped")
        return STOPPED
    except Exception:
        log.logger.exception("%s: an error that nobody foresaw", reads.prog)
        return FAILED
    return code


def run(reads: Parser, arguments: Sequence[str] | None) -> int:
    """Run the verb of the arguments; without one show the help."""
    options = reads.parse_args(arguments)
    if not options.verb:
        print(reads.format_help(), end="", file=sys.stderr)
        return UNUSABLE
    if getattr(options, "storage_root", None) is not None:
        settings.use_root(options.storage_root)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
