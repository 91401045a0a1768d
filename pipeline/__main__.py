"""The operator's verbs: `python -m pipeline VERB`."""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NoReturn

from pipeline import catchup, log, minutes, sandbox, settings, upkeep
from pipeline.errors import BadTimestamp, LuigidAway, PipelineError

WELL, NOT_WELL, FAILED, UNUSABLE, STOPPED = 0, 1, 30, 40, 130
LEFT_ALONE = 5 * minutes.MINUTE


class Parser(argparse.ArgumentParser):
    """Answer unusable arguments with one line and the exit code of the contract."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE, f"{self.prog}: {message}\n")


def show(options: argparse.Namespace) -> int:
    """Open the newest picture, or a minute's, in the person's viewer."""
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
    """Store what is missing, here alone or together with other hosts. Exit code 0 only if nothing is missing any more."""
    log.logger.setLevel("WARNING")
    now = minutes.present_minute()
    start = options.start or max(now - options.since, settings.archive().oldest() or now)
    is_done, said = catchup.catch_up(start, options.stop or now - LEFT_ALONE, options.limit, options.workers, options.shared)
    print(said, file=sys.stderr)
    return WELL if is_done else FAILED


def status(options: argparse.Namespace) -> int:
    """Print how the pipeline does. Exit code 1 if the newest picture is older than allowed, or there is none."""
    found = upkeep.status(settings.archive())
    print(json.dumps(found) if options.json else upkeep.as_text(found, options.max_age))
    return WELL if upkeep.is_well(found, options.max_age) else NOT_WELL


def verify(options: argparse.Namespace) -> int:
    """Check every file from start to before stop and remove those that fail. Exit code 1 if any did."""
    checked, removed = upkeep.verify(settings.archive(), options.start, options.stop)
    print(f"{checked:,} minutes checked, {removed:,} with files removed" + ": catch-up stores them" * bool(removed))
    return NOT_WELL if removed else WELL


def prune(options: argparse.Namespace) -> int:
    """Remove pictures older than `[storage] keep_days`, with their thumbnails, and leftovers; say what that frees."""
    if settings.storage_settings().keep_days is None:
        print("[storage] keep_days is not set: every picture is kept")
    removed = upkeep.prune(settings.archive(), options.everything, options.dry_run)
    counts, megabytes = Counter(kind for kind, _, _ in removed), sum(size for _, _, size in removed) / 1e6
    said = ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items())) or "nothing to remove"
    print(f"{'would free' if options.dry_run else 'freed'} {megabytes:,.1f} MB: {said}")
    return WELL


def choose(options: argparse.Namespace) -> int:
    """Note what the person thinks of a picture: by default of the newest. `--undo` takes it back."""
    print(options.choice(settings.archive(), options.minute, options.undo))
    return WELL


def serve(options: argparse.Namespace) -> int:
    """Serve the stand-in API and its pictures until Ctrl-C."""
    with sandbox.Server(options.port) as server, contextlib.suppress(KeyboardInterrupt):
        print(f"the sandbox: UNSPLASH_API_URL={server.sandbox.origin} with any key but {sandbox.WRONG_KEY}", flush=True)
        server.serve_forever()
    return WELL


def minute(text: str) -> datetime:
    """Return the minute of an argument."""
    try:
        return minutes.MinuteParameter().parse(text)
    except BadTimestamp as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def span(text: str) -> timedelta:
    """Return the span of an argument: 90m, 24h or 7d."""
    if not (parts := re.fullmatch(r"(\d{1,5})([mhd])", text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no span: write 90m, 24h or 7d")
    return int(parts[1]) * {"m": minutes.MINUTE, "h": timedelta(hours=1), "d": timedelta(days=1)}[parts[2]]


def parser() -> Parser:
    """Return what reads the arguments."""
    parser = Parser(prog="python -m pipeline", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    verb = verbs.add_parser("show", help="open the newest picture in your viewer", description=show.__doc__)
    verb.add_argument("--timestamp", type=minute, help="open this minute's, as 2026-11-23T1205")
    verb.set_defaults(run=show)

    verb = verbs.add_parser("catch-up", help="store the minutes that are missing", description=catch_up.__doc__)
    verb.add_argument("--since", type=span, default=span("24h"), help="how far back: 90m, 24h, 7d (default: 24h)")
    verb.add_argument("--start", type=minute, help="first minute, in place of --since")
    verb.add_argument("--stop", type=minute, help="first minute left alone (default: 5 minutes ago)")
    verb.add_argument("--limit", type=int, help="store so many minutes at most, the newest")
    verb.add_argument("--workers", type=int, default=8, help="processes side by side, at most (default: 8)")
    verb.add_argument("--shared", action="store_true", help="share the work with other hosts, through the luigid of luigi.cfg")
    verb.set_defaults(run=catch_up)

    verb = verbs.add_parser("status", help="say how things are", description=status.__doc__)
    verb.add_argument("--json", action="store_true", help="print a JSON object")
    text = "end with exit code 1 when the newest picture is older (default: 5)"
    verb.add_argument("--max-age", type=float, default=5, metavar="MINUTES", help=text)
    verb.set_defaults(run=status)

    verb = verbs.add_parser("verify", help="check what is stored", description=verify.__doc__)
    verb.add_argument("--start", type=minute, default=datetime.min, help="first minute checked (default: the oldest)")
    verb.add_argument("--stop", type=minute, default=datetime.max, help="first minute not checked (default: none)")
    verb.set_defaults(run=verify)

    verb = verbs.add_parser("prune", help="remove old pictures", description=prune.__doc__)
    verb.add_argument("--dry-run", action="store_true", help="only say what would go")
    verb.add_argument("--everything", action="store_true", help="metadata, addresses and reasons of failures go too")
    verb.set_defaults(run=prune)

    keep_help, ban_help = "make a picture a favourite, never pruned", "remove a picture, and never give its photo again"
    for name, choice, text in (("keep", upkeep.keep, keep_help), ("ban", upkeep.ban, ban_help)):
        verb = verbs.add_parser(name, help=text, description=choice.__doc__)
        verb.add_argument(
            "minute", nargs="?", type=minute, help="the picture's minute, as 2026-11-23T1205 (default: the newest)"
        )
        verb.add_argument("--undo", action="store_true", help="take it back")
        verb.set_defaults(run=choose, choice=choice)

    verb = verbs.add_parser("sandbox", help="serve sample pictures in the place of Unsplash", description=serve.__doc__)
    verb.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (default: 8000)")
    verb.set_defaults(run=serve)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code."""
    log.set_up()
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except PipelineError as error:
        print(f"python -m pipeline: {error}", file=sys.stderr)
        return UNUSABLE if isinstance(error, LuigidAway) else FAILED
    except KeyboardInterrupt as interrupt:
        print(interrupt, file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
