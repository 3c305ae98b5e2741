"""A griffe extension: doctests in a docstring's text become a section of examples, and code on the site."""

from typing import Any

import griffe

PROMPT = ">>> "


class Doctests(griffe.Extension):
    """Moves unindented doctests under ``Examples:``."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of a module, class or function when griffe has read it."""
        if obj.docstring is not None and PROMPT in obj.docstring.value:
            obj.docstring.value = with_sections(obj.docstring.value)


def with_sections(text: str) -> str:
    r"""The docstring with its unindented doctests indented under ``Examples:``.

    >>> print(with_sections("Double a number.\n\n>>> double(2)\n4"))
    Double a number.
    <BLANKLINE>
    Examples:
        >>> double(2)
        4
    """
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        starts = line.startswith(PROMPT)
        if starts and not inside:
            lines.append("Examples:")
        inside = starts or (inside and bool(line.strip()))
        lines.append(f"    {line}" if inside else line)
    return "\n".join(lines)
