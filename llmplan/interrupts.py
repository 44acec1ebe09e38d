"""What ends a command from outside: an interrupt by the keyboard, a time limit. Imports nothing: it comes first."""

_raised: list[BaseException] = []


class InterruptedByUser(BaseException):
    """Raised by Ctrl-C; not a KeyboardInterrupt, to which libraries have answers of their own."""


def stop(error: BaseException) -> None:
    """Raises what ends a command from outside, and keeps it."""
    _raised[:] = [error]
    raise error


def stopped() -> BaseException | None:
    """What was raised to end the command that runs, which a library may have made an error of its own of."""
    return _raised.pop() if _raised else None
