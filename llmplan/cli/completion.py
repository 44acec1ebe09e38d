"""What a shell offers behind an option: names of the catalogue, frameworks, words."""

from __future__ import annotations

from collections.abc import Callable

from llmplan.errors import InputError

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
KINDS = {"model": "models", "hardware": "devices", "stack": "stacks", "cluster": "clusters"}
"""Options that take a name of the catalogue."""


def known_shell() -> None:
    """Raises InputError where the shell that the program runs in cannot be found out, or is none that is completed."""
    import shellingham  # type: ignore[import-untyped]

    try:
        name = shellingham.detect_shell()[0]
    except shellingham.ShellDetectionFailure:
        raise InputError(f"no shell was found around this program; completion is for {', '.join(SHELLS)}") from None
    if name not in SHELLS:
        raise InputError(f"completion is for {', '.join(SHELLS)}, and this is {name}")


def names(option: str) -> Callable[[str], list[str]] | None:
    """What completes the value of an option of the vocabulary; None where there is nothing to offer."""
    if option not in KINDS:
        return None

    def offered(incomplete: str) -> list[str]:
        from llmplan.catalog.catalog import open_catalog

        try:
            return [name for name in open_catalog().names(KINDS[option]) if name.startswith(incomplete.lower())]
        except InputError:  # a broken entry of the user is reported by the command itself
            return []

    return offered


def words(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    """What completes the value of an option that takes one of some words."""
    return lambda incomplete: [word for word in choices if word.startswith(incomplete)]


def frameworks(incomplete: str) -> list[str]:
    """What completes `--for` and `--from`."""
    from llmplan.launch.target import targets

    return [one.id for one in targets() if one.id.startswith(incomplete)]
