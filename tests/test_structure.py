"""The package keeps its structure: numbers of tools/structure.py that must not grow."""

import re
from pathlib import Path

from tools.import_graph import cycles, module_graph, package_graph
from tools.package_diagram import direct_dependencies, draw
from tools.structure import measure

SOURCE = Path(__file__).parents[1] / "src" / "everypose"


MOST = {
    "top-level modules": 2,
    "modules in import cycles": 0,
    "packages in import cycles": 0,
    "dependencies between packages": 140,
    "isinstance checks on a family": 7,
    "isinstance checks on a kind": 4,
    "settings defined twice": 0,
    "functions with over 6 positional parameters": 0,
}
"""What each number is at most; lower them when the structure gets better."""


def test_the_structure_does_not_get_worse() -> None:
    assert {name: value for name, value in measure(SOURCE).items() if value > MOST[name]} == {}


def test_the_diagrams_graph_has_no_cycle_either() -> None:
    assert cycles(module_graph()) == []
    assert cycles(package_graph()) == []


def test_the_diagram_shows_every_dependency_directly_or_as_a_path_and_points_down() -> None:
    graph = package_graph()
    shown = set(direct_dependencies(graph))
    assert all(end in graph[start] for start, end in shown)
    direct = {name: {end for start, end in shown if start == name} for name in graph}
    assert {name: reachable(direct, name) for name in graph} == {name: reachable(graph, name) for name in graph}
    for start, end in shown:
        smaller = {name: ends - {end} if name == start else ends for name, ends in direct.items()}
        assert end not in reachable(smaller, start), "a longer path implies this arrow"

    arrows = re.findall(r'class="arrow" d="M\d+ (\d+)C.* (\d+)"/>', draw(graph))
    assert len(arrows) == len(shown)
    assert all(int(begin) < int(end) for begin, end in arrows)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """All that is imported by a package and what it imports."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found
