"""Count what makes the package hard to follow: ``python tools/structure.py [SRC]``.

Prints one number a line: top-level modules, import cycles, dependencies between packages, ``isinstance`` checks on a
model family or kind, settings that are defined twice, and functions with more than six positional parameters.
Imports inside functions count; those for types only do not.
"""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

FAMILIES = (
    "BoIR", "CID", "MIPNet", "PoseBH", "PrototypePose", "ViTPose", "SimpleBaseline", "HRNetPose", "HRNet", "ResNet",
    "ViT", "Lite", "LiteHRNet", "OpenPoseLight",
)  # fmt: skip
FAMILY_NAMES = {
    *FAMILIES,
    *(f"{name}Settings" for name in FAMILIES),
    *("SingleStageSettings", "TopDownSettings", "TopDownNetwork", "PoseNetwork"),
}
"""Classes of one method or backbone, and unions of them."""
KIND_NAMES = {
    *("SingleStageNetwork", "HeatmapNetwork", "InferenceSettings", "SingleStageInference", "TopDownInference"),
    *("CropInference", "TopDownEstimator", "SingleStageEstimator", "SingleStageNetworkSettings"),
    *("TopDownNetworkSettings", "SingleStageRecipe", "TopDownRecipe", "MixtureRecipe"),
}
"""Interfaces and classes of a kind of method: single-stage or top-down."""
MOST_PARAMETERS = 6
LEAST_SHARED_FIELDS = 4
"""Two classes that share this many field names and defaults define the same settings."""


def main() -> None:
    """Print the numbers of a source tree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", type=Path, default=Path("src/everypose"))
    source = parser.parse_args().source
    for name, value in measure(source).items():
        print(f"{name:45} {value:5}")


def measure(source: Path) -> dict[str, int]:
    """Count everything in the package at ``source``."""
    trees = {_module(path, source): ast.parse(path.read_text(encoding="utf-8")) for path in source.rglob("*.py")}
    imports = {module: _imports(tree, module, set(trees)) for module, tree in trees.items()}
    return {
        "top-level modules": sum(path.suffix == ".py" and not path.name.startswith("__") for path in source.iterdir()),
        "modules in import cycles": sum(len(group) for group in _cycles(imports)),
        "packages in import cycles": sum(len(group) for group in _cycles(_between_packages(imports))),
        "dependencies between packages": sum(len(found) for found in _between_packages(imports).values()),
        "isinstance checks on a family": sum(_checks(tree, FAMILY_NAMES) for tree in trees.values()),
        "isinstance checks on a kind": sum(_checks(tree, KIND_NAMES) for tree in trees.values()),
        "settings defined twice": len(_twins(trees)),
        f"functions with over {MOST_PARAMETERS} positional parameters": sum(map(_long_signatures, trees.values())),
    }


def _module(path: Path, source: Path) -> str:
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.Module, module: str, known: set[str]) -> set[str]:
    """Return the modules of the package that a module imports at run time."""
    found: set[str] = set()
    for node in _run_time_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return {name for name in found if name in known} - {module}


def _run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without the blocks ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:
                yield other
                yield from _run_time_nodes(other)
            continue
        yield node
        yield from _run_time_nodes(node)


def _package(module: str) -> str:
    """Return the first level below the package: ``everypose.data.formats.coco`` -> ``data``."""
    return module.split(".")[1] if "." in module else module


def _between_packages(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for module, others in imports.items():
        own = _package(module)
        found.setdefault(own, set()).update(_package(other) for other in others if _package(other) != own)
    return found


def _cycles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of nodes that reach each other."""
    reached = {node: _reachable(graph, node) for node in graph}
    groups = {frozenset({a for a in reached[node] if node in reached.get(a, set())}) for node in graph}
    return [set(group) for group in groups if len(group) > 1]


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph.get(node, set())
    return found


def _checks(tree: ast.Module, names: set[str]) -> int:
    """Count ``isinstance`` and ``issubclass`` calls that name one of the classes."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and len(node.args) == 2)
    return sum(
        isinstance(call.func, ast.Name)
        and call.func.id in ("isinstance", "issubclass")
        and any(isinstance(name, ast.Name) and name.id in names for name in ast.walk(call.args[1]))
        for call in calls
    )


def _twins(trees: dict[str, ast.Module]) -> list[tuple[str, str]]:
    """Return pairs of classes, neither derived from the other, that share many fields with their defaults."""
    classes = [
        (f"{module}.{node.name}", {ast.unparse(base) for base in node.bases}, _fields(node))
        for module, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]
    pairs = []
    for position, (name, bases, fields) in enumerate(classes):
        for other, other_bases, other_fields in classes[position + 1 :]:
            related = name.rsplit(".", 1)[-1] in other_bases or other.rsplit(".", 1)[-1] in bases
            if not related and len(fields & other_fields) >= LEAST_SHARED_FIELDS:
                pairs.append((name, other))
    return pairs


def _fields(node: ast.ClassDef) -> set[tuple[str, str]]:
    """Return the names and defaults of a class's annotated fields that have a default."""
    return {
        (item.target.id, ast.unparse(item.value))
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None
    }


def _long_signatures(tree: ast.Module) -> int:
    """Count functions with many positional parameters, without ``self``; commands of the CLI are called by name."""
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            is_command = any("typer." in ast.unparse(argument.annotation or node) for argument in node.args.args)
            own = [name for name in names if name not in ("self", "cls")]
            count += len(own) > MOST_PARAMETERS and not is_command
    return count


if __name__ == "__main__":
    main()
