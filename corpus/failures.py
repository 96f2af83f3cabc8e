"""What may end a command in a foreseen way: one line for the user and an exit status, never a traceback."""


class Failure(Exception):
    """The message is one line that names the file, key or row, and what to do. `status` is 1 (failed) or 2 (usage)."""

    status = 1
