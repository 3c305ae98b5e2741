"""The diagram of the packages: importers above what they import, without dependencies that a longer path implies."""

from collections.abc import Iterator, Mapping
from html import escape

WIDTH, ROW, BOX, HEIGHT, MARGIN = 1040, 92, 116, 38, 24
STYLE = """
  .box { fill: #eef1fb; stroke: #4051b5; stroke-width: 1.5 }
  .name { font: 600 15px system-ui, sans-serif; fill: #1f2a60; text-anchor: middle }
  .arrow { fill: none; stroke: #7c87c4; stroke-width: 1.4; marker-end: url(#tip) }
"""

Graph = Mapping[str, set[str]]
Position = tuple[float, float]


def draw(graph: Graph) -> str:
    """The diagram of a graph without cycles as SVG.

    Example:
        >>> draw({"cli": {"core"}, "core": set()}).count('class="box"')
        2
    """
    levels = _levels(graph)
    rows: dict[int, list[str]] = {}
    for name in sorted(graph, key=lambda name: (-levels[name], name)):
        rows.setdefault(levels[name], []).append(name)
    places = dict(_places(rows, graph))
    height = MARGIN * 2 + (max(rows) + 1) * ROW - (ROW - HEIGHT)
    arrows = [_arrow(places[start], places[end]) for start, end in direct_dependencies(graph)]
    boxes = [_box(name, place) for name, place in places.items()]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            'aria-label="Packages of everypose; arrows point at what is imported">',
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L8 4L0 8z" fill="#7c87c4"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
            *arrows,
            *boxes,
            "</svg>",
        ]
    )


def _levels(graph: Graph) -> dict[str, int]:
    """Each package's row, 0 at the top; what it imports is in lower rows."""
    depth: dict[str, int] = {}

    def visit(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((visit(target) for target in graph[name]), default=-1)
        return depth[name]

    for name in graph:
        visit(name)
    highest = max(depth.values())
    return {name: highest - value for name, value in depth.items()}


def direct_dependencies(graph: Graph) -> Iterator[tuple[str, str]]:
    """The dependencies that no longer path implies, each as importer and imported package.

    >>> sorted(direct_dependencies({"cli": {"data", "core"}, "data": {"core"}, "core": set()}))
    [('cli', 'data'), ('data', 'core')]
    """
    for name, targets in graph.items():
        for target in targets:
            others = targets - {target}
            if not any(_reaches(graph, other, target, {name}) for other in others):
                yield name, target


def _reaches(graph: Graph, start: str, goal: str, seen: set[str]) -> bool:
    if start == goal:
        return True
    return any(_reaches(graph, other, goal, seen | {start}) for other in graph[start] - seen)


def _places(rows: Mapping[int, list[str]], graph: Graph) -> Iterator[tuple[str, Position]]:
    """Centers of the boxes; in a row, packages stand in the order of the mean place of their importers."""
    x_of: dict[str, float] = {}
    for level in sorted(rows):
        names = rows[level]
        importers = {name: [x_of[other] for other in x_of if name in graph[other]] for name in names}
        names = sorted(names, key=lambda name: sum(importers[name]) / max(len(importers[name]), 1))
        for number, name in enumerate(names):
            x_of[name] = WIDTH * (number + 1) / (len(names) + 1)
            yield name, (x_of[name], MARGIN + level * ROW + HEIGHT / 2)


def _box(name: str, place: Position) -> str:
    x, y = place
    return (
        f'<rect class="box" x="{x - BOX / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{BOX}" height="{HEIGHT}" rx="8"/>'
        f'<text class="name" x="{x:.0f}" y="{y + 5:.0f}">{escape(name)}</text>'
    )


def _arrow(start: Position, end: Position) -> str:
    (x1, y1), (x2, y2) = start, end
    y1, y2 = y1 + HEIGHT / 2, y2 - HEIGHT / 2
    bend = (y2 - y1) / 2
    return (
        f'<path class="arrow" d="M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} '
        f'{x2:.0f} {y2:.0f}"/>'
    )
