"""What mkdocs does beyond its plugins: pages generated from the source, and formulas as MathML.

- ``reference/``: one page for each package, with every public module (by mkdocstrings).
- ``reference/cli.md``: every command and option (by typer).
- ``architecture/packages.svg`` and the table of packages, from the imports.

Formulas become MathML when the site is built, so that pages need no script and no font from the network.
"""

import ast
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click
from typer.main import get_command

from everypose.cli.main import app
from tools.import_graph import SOURCE, package_graph
from tools.package_diagram import draw

FIRST = ("people", "drawing", "errors")
NOT_LISTED = ("cli", "__main__")
ROOT = SOURCE.parent.parent
ROOT_PAGES = {
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
    "code-of-conduct.md": "CODE_OF_CONDUCT.md",
}
"""Pages of the site that are files at the top of the repository."""
ADDING = SOURCE / "methods" / "README.md"
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and pictures."""
    reference: list[Any] = [{"Command line": _add(files, config, "reference/cli.md", command_line_page())}]
    for title, text in reference_pages():
        reference.append({title: _add(files, config, f"reference/{title}.md", text)})
    assert config.nav is not None
    config.nav.append({"Reference": reference})
    _add(files, config, "architecture/packages.svg", draw(package_graph()))
    for page, source in ROOT_PAGES.items():
        _add(files, config, page, root_page(source))
    if ADDING.exists():
        methods = next(section["Methods"] for section in config.nav if "Methods" in section)
        methods.append({"Adding a method": _add(files, config, "methods/adding.md", _without_links(ADDING))})
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill in the table of packages."""
    return markdown.replace("<!-- table of packages -->", package_table())


def on_page_content(html: str, **_: object) -> str:
    """Turn formulas into MathML and show source code unfolded."""
    html = FORMULA.sub(lambda match: _mathml(match[2], match[1] == "div"), html)
    return html.replace('<details class="mkdocstrings-source">', '<details class="mkdocstrings-source" open>')


def reference_pages() -> Iterator[tuple[str, str]]:
    """Title and text of each page of the API reference."""
    yield "everypose", "# everypose\n\n::: everypose\n"
    for name in FIRST:
        if (SOURCE / f"{name}.py").exists():
            yield name, f"# everypose.{name}\n\n::: everypose.{name}\n"
    for init in sorted(SOURCE.rglob("__init__.py")):
        package = ".".join(init.parent.relative_to(SOURCE.parent).parts)
        if package != "everypose" and package.split(".")[1] not in NOT_LISTED:
            yield package.removeprefix("everypose."), _package_page(package, init.parent)


def _package_page(package: str, folder: Path) -> str:
    modules = [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]
    parts = [f"# {package}", f"::: {package}\n    options: {{members: false, show_root_heading: false}}"]
    return "\n\n".join([*parts, *(f"::: {package}.{module}" for module in modules)]) + "\n"


def command_line_page() -> str:
    """Every command with its options."""
    import typer

    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="everypose"), name="everypose")
    return text.replace("# `everypose`", "# Command line", 1)


def package_table() -> str:
    """Each package with the first line of its docstring."""
    rows = ["| package | content |", "|---|---|"]
    for name in sorted(package_graph()):
        path = SOURCE / name / "__init__.py"
        tree = ast.parse((path if path.exists() else SOURCE / f"{name}.py").read_text(encoding="utf-8"))
        summary = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
        rows.append(f"| `{name}` | {summary.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def root_page(source: str) -> str:
    """A file at the top of the repository, with its links as they are on the site."""
    text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
    for page, name in ROOT_PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text


def _without_links(path: Path) -> str:
    """A page of the source, whose links to files next to it become text."""
    return re.sub(r"\]\((?!https?:)[^)]*\)", "]", path.read_text(encoding="utf-8"))


def _add(files: Files, config: MkDocsConfig, path: str, content: str) -> str:
    files.append(File.generated(config, path, content=content))
    return path


def _mathml(formula: str, block: bool) -> str:
    mathml: str = convert(unescape(formula), display="block" if block else "inline")
    return mathml
