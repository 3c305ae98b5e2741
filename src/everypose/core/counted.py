"""Numbers with their nouns, for messages."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun.

    Args:
        number: how many.
        noun: of one.
        plural: of none and of several; by default the noun with an "s".

    Example:
        >>> counted(1, "image"), counted(3, "image"), counted(0, "person", "people")
        ('1 image', '3 images', '0 people')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
