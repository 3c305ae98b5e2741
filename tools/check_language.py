"""Report phrases that the project's language rules exclude, with file and line.

    python -m tools.check_language             # every phrase with its place; exit code 1 if there is one
    python -m tools.check_language --counts    # numbers by package
    python -m tools.check_language --spelling  # British spellings instead

Searched are comments, docstrings, messages and names of the source, and the pages. CONTRIBUTING.md says what to write
instead.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "docs", "benchmarks", "research", "tools")
PAGES = ("README.md", "SECURITY.md")
SKIPPED = ("tools/check_language.py", "research/boir_lite/diary.md", "docs/evidence/performance.md")
"""This list, a log of the past, and a page that a program writes (its text is in benchmarks/performance)."""

PHRASES = (
    r"looks? (?:at|into) (?:the )?(?:whole|all|images?|mixtures?|crops?|photos?|one)",
    r"look(?:s|ed)? for (?:everywhere|twice|once|first)",
    r"looked at",
    r"is asked\b(?! for)",
    r"whoever",
    r"whomever",
    r"nobody",
    r"somebody",
    r"everybody",
    r"found twice",
    r"each once\b",
    r"made anew",
    r"anew\b",
    r"(?<!\.)\btells?\b",
    r"\btold\b",
    r"\bbeside\b",
    r"\bbut for\b",
    r"so many (?:times|pixels|people|steps)",
    r"\bours\b",
    r"\btheirs\b",
    r"goes? through the (?:network|door)",
    r"says what",
    r"is to be (?:found|told)",
    r"whose it is",
    r"set free",
    r"comes along",
    r"one after the other",
    r"in its place",
    r"the other way round",
    r"\bhouse\b",
    r"\brooms?\b",
)
SPELLINGS = (
    r"colour",
    r"centre",
    r"\bcentr(?:ed|ing)\b",
    r"neighbour",
    r"(?:normal|initial|synchron|recogn|quant|equal|vector|raster|summar|serial|paramet(?:e)?r)is(?:e|i|a)",
    r"(?:optim|minim|maxim)is(?:e|i|a)",
    r"analys(?:e[drs]?\b|ing)",
    r"labell(?:ed\b|ing)",
    r"licence",
    r"\bgrey",
    r"behaviour",
    r"favour",
    r"catalogue",
    r"artefact",
)
"""British spellings, which prose and names avoid so that they read as torch's names do."""
EXEMPT = "# British spelling"
"""A line with this comment is not checked: it has a name that old files have."""


class Finding(NamedTuple):
    """A phrase, where it is, and its line."""

    path: Path
    line: int
    phrase: str
    text: str


def main() -> int:
    """Print what was found; exit code 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", action="store_true", help="numbers by package and by phrase")
    parser.add_argument("--spelling", action="store_true", help="British spellings instead of phrases")
    parser.add_argument("under", nargs="*", help="only files under these folders")
    arguments = parser.parse_args()
    searched = SPELLINGS if arguments.spelling else PHRASES
    found = list(findings(searched, tuple(arguments.under)))
    if arguments.counts:
        for title, counts in (("by package", by_package(found)), ("by phrase", by_phrase(found))):
            print(title)
            print("\n".join(f"{count:6}  {name}" for name, count in counts.most_common()))
    else:
        for one in found:
            print(f"{one.path}:{one.line}: {one.phrase!r}: {one.text}")
    print(f"{len(found)} phrases in {len({one.path for one in found})} files", file=sys.stderr)
    return int(bool(found))


def findings(phrases: Sequence[str] = PHRASES, under: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Every place of one of the phrases in the source and the pages, or only under some folders."""
    pattern = re.compile("|".join(f"(?:{phrase})" for phrase in phrases), re.IGNORECASE)
    for path in files():
        name = path.relative_to(ROOT)
        if under and not name.as_posix().startswith(under):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if EXEMPT in line:
                continue
            for match in pattern.finditer(line):
                yield Finding(name, number, match[0], line.strip())


def files() -> Iterator[Path]:
    """Source files and pages, sorted."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".md", ".toml") and str(path.relative_to(ROOT)) not in SKIPPED:
                yield path
    yield from (ROOT / page for page in PAGES)


def by_package(found: list[Finding]) -> Counter[str]:
    """Numbers by the first folder of the package, or the first folder of the repository."""
    return Counter("/".join(one.path.parts[: 3 if one.path.parts[0] == "src" else 1]) for one in found)


def by_phrase(found: list[Finding]) -> Counter[str]:
    """Numbers by phrase."""
    return Counter(one.phrase.lower() for one in found)


if __name__ == "__main__":
    sys.exit(main())
