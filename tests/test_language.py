"""Source and pages use the field's terms, in American spelling; CONTRIBUTING.md lists phrases and what to write."""

from tools.check_language import SPELLINGS, findings

CLEAN = ("src", "docs", "benchmarks", "research", "tools", "README.md", "SECURITY.md")
"""Folders that are rewritten. Only ever add to them."""


def test_american_spelling() -> None:
    found = [f"{one.path}:{one.line}: {one.phrase!r}: {one.text}" for one in findings(SPELLINGS, under=CLEAN)]
    assert not found, "\n".join(found)


def test_no_excluded_phrases() -> None:
    found = [f"{one.path}:{one.line}: {one.phrase!r}: {one.text}" for one in findings(under=CLEAN)]
    assert not found, "\n".join(found)
