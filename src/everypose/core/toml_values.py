"""Values as TOML writes them."""

import json


def toml_value(value: object) -> str:
    r"""Return a number, truth value or text, or lists of these, as TOML.

    TOML writes them as JSON does, except that it has no surrogate pairs as escapes and does not allow the character DEL
    in a text.

    >>> toml_value(["nose", 0.5, True])
    '["nose", 0.5, true]'
    >>> toml_value("\x7f")
    '"\\u007f"'
    """
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return text.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair cannot be written at all
