"""The operator's verbs: `python -m pipeline VERB`."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from pipeline.errors import PipelineError

UNUSABLE_ARGUMENTS = 40
TASK_FAILED = 30


class Parser(argparse.ArgumentParser):
    """Answer unusable arguments with the exit code of the contract."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE_ARGUMENTS, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb and return its exit code."""
    from pipeline import catchup

    parser = Parser(prog="python -m pipeline", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    catch_up = verbs.add_parser("catch-up", help="store the minutes that are missing", description=catchup.__doc__)
    catchup.add_arguments(catch_up)
    catch_up.set_defaults(run=catchup.run)

    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except PipelineError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return TASK_FAILED


if __name__ == "__main__":
    sys.exit(main())
