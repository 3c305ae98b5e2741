"""The imports between the packages of everypose, read from the source.

    python -m tools.import_graph                 # numbers of the structure
    python -m tools.import_graph --svg OUT.svg   # the diagram of the architecture page

Imports inside functions count. Imports for type checkers only do not.
"""

import argparse
import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "everypose"
MOST_POSITIONAL = 6
FAMILY = re.compile("boir|cid|mipnet|posebh|vitpose|hrnet|resnet|baseline|singlestage|topdown", re.IGNORECASE)
"""Part of the names of classes that belong to one model family."""

Graph = dict[str, set[str]]


def main() -> None:
    """Print the numbers, or write the diagram."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder of the package")
    parser.add_argument("--svg", type=Path, help="write the diagram to this file")
    arguments = parser.parse_args()
    if arguments.svg:
        from tools.package_diagram import draw

        arguments.svg.write_text(draw(package_graph(arguments.source)), encoding="utf-8")
    else:
        for name, value in measure(arguments.source).items():
            print(f"{value:6}  {name}")


def measure(source: Path = SOURCE) -> dict[str, int]:
    """Count what a redesign should lower, by name."""
    modules = module_graph(source)
    packages = package_graph(source)
    trees = [_parse(path) for path in source.rglob("*.py")]
    loose = [path for path in source.glob("*.py") if not path.name.startswith("__")]
    return {
        "modules": len(modules),
        "modules at the top level": len(loose),
        "packages and modules seen from the top": len(packages),
        "dependencies between them": sum(map(len, packages.values())),
        "import cycles of packages": len(cycles(packages)),
        "import cycles of modules": len(cycles(modules)),
        f"functions with more than {MOST_POSITIONAL} positional parameters": sum(map(_positional_heavy, trees)),
        "isinstance checks of a model family": sum(map(_family_checks, trees)),
    }


def module_graph(source: Path = SOURCE) -> Graph:
    """Each module's imports of other modules of the package, by dotted name."""
    paths = {_dotted(path, source): path for path in source.rglob("*.py")}
    graph: Graph = {}
    for name, path in paths.items():
        targets = {_existing(target, paths) for target in _imports(_parse(path), name)}
        graph[name] = {target for target in targets if target and target != name}
    return graph


def package_graph(source: Path = SOURCE) -> Graph:
    """The imports between top-level packages and modules, such as ``data`` -> ``core``."""
    graph: Graph = defaultdict(set)
    for name, targets in module_graph(source).items():
        package = _package(name)
        if package is None:
            continue
        graph[package] |= {other for target in targets if (other := _package(target)) not in (None, package)}
    return dict(graph)


def cycles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """The strongly connected components of two nodes or more, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph.get(node, ()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            start = stack.index(node)
            component = set(stack[start:])
            del stack[start:]
            if len(component) > 1:
                found.append(component)

    for node in graph:
        if node not in index:
            visit(node)
    return found


def _imports(tree: ast.Module, module: str) -> Iterator[str]:
    """Dotted names that a module imports from everypose."""
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("everypose"))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [base])])
            if base.startswith("everypose"):
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes except those under ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _executed(child)


def _existing(target: str, paths: Iterable[str]) -> str | None:
    """The module that an imported name belongs to."""
    while target not in paths and "." in target:
        target = target.rpartition(".")[0]
    return target if target in paths else None


def _dotted(path: Path, source: Path) -> str:
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _package(module: str) -> str | None:
    """``everypose.data.formats.coco`` -> ``data``; None for the package itself."""
    parts = module.split(".")
    return None if len(parts) < 2 or parts[1].startswith("__") else parts[1]


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _positional_heavy(tree: ast.Module) -> int:
    """Functions with more positional parameters than `MOST_POSITIONAL`, commands of the command line apart."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return sum(len(_positional(function)) > MOST_POSITIONAL for function in functions)


def _positional(function: ast.FunctionDef) -> list[ast.arg]:
    """The positional parameters without ``self``; none of a command, which typer calls by name."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    if any(argument.annotation and "typer" in ast.unparse(argument.annotation) for argument in parameters):
        return []
    return [argument for argument in parameters if argument.arg not in ("self", "cls")]


def _family_checks(tree: ast.Module) -> int:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2]
    return sum(
        isinstance(call.func, ast.Name)
        and call.func.id == "isinstance"
        and bool(FAMILY.search(ast.unparse(call.args[1])))
        for call in calls
    )


if __name__ == "__main__":
    main()
