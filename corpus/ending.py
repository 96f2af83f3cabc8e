"""The end of a command: everything is said, and the process is gone at once."""

import atexit
import logging
import os
import sys
from collections.abc import Callable


def run(main: Callable[[], object]) -> None:
    """Run a command line that ends with SystemExit, and leave.

    The interpreter would take a dozen loaded libraries apart, one object after the other: a second for nothing, and
    some of them complain of it. What is registered for the end is still done; an exception goes its usual way.
    """
    try:
        main()
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        logging.shutdown()
        atexit._run_exitfuncs()
        unwritten = _unwritten()
        os._exit(ended.code or unwritten)


def _unwritten() -> int:
    """Flush what was printed; 120 where it could not be, as the interpreter has it."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return 120
    return 0
