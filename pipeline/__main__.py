"""The operator's verbs: `python -m pipeline VERB`."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from pipeline import catchup, hosts, minutes, sandbox, settings, status, upkeep
from pipeline.catchup import TASK_FAILED
from pipeline.errors import BadTimestamp, LuigidAway, PipelineError

UNUSABLE_ARGUMENTS = 40


class Parser(argparse.ArgumentParser):
    """Answer unusable arguments with one line and the exit code of the contract."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE_ARGUMENTS, f"{self.prog}: {message}\n")


def show(options: argparse.Namespace) -> int:
    """Open the newest picture, or a minute's, in the person's viewer."""
    store = settings.store()
    path = store.files.local_path(store.picture(options.timestamp).name if options.timestamp else "latest.jpg")
    if not path.exists():
        print(f"there is no {path}: nothing is stored there yet", file=sys.stderr)
        return TASK_FAILED
    if os.name == "nt":
        os.startfile(path)  # type: ignore[attr-defined, unused-ignore]
    elif sys.platform == "darwin":
        return subprocess.call(["open", path])
    elif not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        print(f"there is no display here; the picture is {path}", file=sys.stderr)
        return TASK_FAILED
    else:
        return subprocess.call(["xdg-open", path])
    return 0


def catch_up(options: argparse.Namespace) -> int:
    """Store what is missing, here alone or together with other hosts."""
    return catchup.run(options, hosts.store_all if options.shared else catchup.store_all)


def serve(options: argparse.Namespace) -> int:
    """Serve the stand-in API and its pictures until Ctrl-C."""
    with sandbox.server(options.port) as server:
        print(f"the sandbox: UNSPLASH_API_URL={server.sandbox.origin} with any key but {sandbox.WRONG_KEY}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def minute(text: str) -> datetime:
    """Return the minute of an argument."""
    try:
        return minutes.MinuteParameter().parse(text)
    except BadTimestamp as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code."""
    parser = Parser(prog="python -m pipeline", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    verb = verbs.add_parser("show", help="open the newest picture in your viewer", description=show.__doc__)
    verb.add_argument("--timestamp", type=minute, help="open this minute's, as 2026-11-23T1205")
    verb.set_defaults(run=show)

    verb = verbs.add_parser("catch-up", help="store the minutes that are missing", description=catch_up.__doc__)
    catchup.add_arguments(verb, minute)
    verb.set_defaults(run=catch_up)

    verb = verbs.add_parser("status", help="say how things are", description=status.run.__doc__)
    status.add_arguments(verb)
    verb.set_defaults(run=status.run)

    verb = verbs.add_parser("verify", help="check what is stored", description=upkeep.verify.__doc__)
    upkeep.add_verify_arguments(verb, minute)
    verb.set_defaults(run=upkeep.verify)

    verb = verbs.add_parser("prune", help="let old pictures go", description=upkeep.prune.__doc__)
    upkeep.add_prune_arguments(verb)
    verb.set_defaults(run=upkeep.prune)

    verb = verbs.add_parser("sandbox", help="serve sample pictures in the place of Unsplash", description=serve.__doc__)
    verb.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (default: 8000)")
    verb.set_defaults(run=serve)

    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except PipelineError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return UNUSABLE_ARGUMENTS if isinstance(error, LuigidAway) else TASK_FAILED


if __name__ == "__main__":
    sys.exit(main())
