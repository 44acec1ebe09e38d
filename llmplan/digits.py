"""Whole numbers in texts of users."""


def whole_number(text: str, most: int) -> int | None:
    """Digits as a number from 0 to `most`; None for anything else, and for more digits than that takes.

    >>> whole_number("8", 10), whole_number("11", 10), whole_number("²", 10), whole_number("9" * 5000, 10)
    (8, None, None, None)
    """
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if number <= most else None
