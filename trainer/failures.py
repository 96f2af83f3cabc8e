"""What may end a command in a foreseen way: one line for the user and an exit status, never a traceback."""


class Failure(Exception):
    """The message is one line that names the file, key or step, and what to do. `status` is 1 (failed) or 2 (usage)."""

    status = 1


class UsageFailure(Failure):
    """What was asked for cannot be done as asked: a recipe, an option, a folder of another kind."""

    status = 2
