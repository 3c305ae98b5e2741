"""The package keeps its structure: numbers of tools/structure.py that must not grow."""

from pathlib import Path

from tools.structure import measure

SOURCE = Path(__file__).parents[1] / "src" / "everypose"


def test_methods_are_known_by_their_packages_alone() -> None:
    assert measure(SOURCE)["isinstance checks on a family"] < 10
