"""A griffe extension: doctests in docstrings become sections of examples, which the site shows as code."""

import re
from typing import Any

import griffe

PROMPT = ">>> "


class Doctests(griffe.Extension):
    """Moves doctests under ``Examples:``, the one title that griffe knows."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of a module, class or function when griffe has read it."""
        if obj.docstring is not None and PROMPT in obj.docstring.value:
            obj.docstring.value = with_sections(obj.docstring.value)


def with_sections(text: str) -> str:
    """The docstring with its unindented doctests indented under ``Examples:``.

    >>> with_sections(">>> double(2)").splitlines()
    ['Examples:', '    >>> double(2)']
    """
    lines: list[str] = []
    inside = False
    text = re.sub(r"^Example:(?=\n+ +>>> )", "Examples:", text, flags=re.MULTILINE)
    for line in text.splitlines():
        starts = line.startswith(PROMPT)
        if starts and not inside:
            lines.append("Examples:")
        inside = starts or (inside and bool(line.strip()))
        lines.append(f"    {line}" if inside else line)
    return "\n".join(lines)
