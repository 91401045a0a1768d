"""Store the picture of a minute: through luigid if it answers, by Luigi's local scheduler if not.

`deploy/store-minute` runs it as `python -m pipeline.store_minute MINUTE [OPTIONS]`; options are handed on to luigi.
"""

import contextlib
import sys
from collections.abc import Sequence

from luigi.cmdline import luigi_run
from luigi.cmdline_parser import CmdlineParser

from pipeline import log, luigid


def main(minute: str, options: Sequence[str]) -> None:
    """Run luigi for the minute; SystemExit has its exit code."""
    arguments, url = ["--module", "pipeline", "StoreImage", "--timestamp", minute, *options], ""
    with CmdlineParser.global_instance(arguments), contextlib.suppress(ValueError):  # luigi says what it cannot read
        url = luigid.url()
    if url and not luigid.answers(url):
        log.set_up()
        log.logger.warning("luigid does not answer at %s: minute %s runs without it", url, minute)
        arguments.append("--local-scheduler")
    luigi_run(arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
