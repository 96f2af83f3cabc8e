"""`python -m eval`."""

import os

# Before torch is loaded. A thread that waits for another one spins: for milliseconds, unless it is told when to sleep.
# Where a core has other work to do besides, that made a step three times as slow.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

from corpus import ending
from eval.cli import main

if __name__ == "__main__":
    ending.run(main)
