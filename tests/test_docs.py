"""What the pages show works: their commands and their Python run, in order, in one folder for each page."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from doc_pages import LANGUAGES, PAGES, ROOT, Block, blocks_of, everypose_words, is_plain, run_in_shell
from doc_workspace import build_workspace
from everypose.cli.main import app
from everypose.training.recipe_files import load_recipe

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUNNABLE = sorted({block.page for block in BLOCKS if block.runs and block.language in ("bash", "python")})


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_names_its_language(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_option_exists(page: Path) -> None:
    """Also those of the blocks that are not executed."""
    for block in blocks_of(page):
        for words in filter(None, map(everypose_words, block.commands if block.language == "bash" else [])):
            command: Any = get_command(app)
            while getattr(command, "commands", None):
                assert words[0] in command.commands, (block.line, words)
                command = command.commands[words.pop(0)]
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            options = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert options <= known | {"--help"}, (block.line, words)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_extras_and_make_targets_exist(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for block in blocks_of(page):
        for command in block.commands if block.language == "bash" else []:
            for names in re.findall(r"everypose\[([\w,-]+)\]", command):
                assert set(names.split(",")) <= set(extras), (block.line, command)
            if command.startswith("make "):
                assert command.split()[1] in targets, (block.line, command)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Links to files of the repository; the site's own check covers its generated pages."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.parent / target).resolve()
        generated = "reference" in path.parts or path.name == "packages.svg" or path.parent == ROOT / "docs"
        assert path.exists() or generated, target


def test_every_page_is_in_the_navigation() -> None:
    """The site's build, which the tests do not run, refuses pages outside of it."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert f" {name}\n" in navigation, f"{name} is not in the navigation of mkdocs.yml"


def test_documented_objects_exist() -> None:
    """What ``:::`` includes from the source is there, so that a renamed function does not vanish from its page."""
    for page in PAGES:
        for target in re.findall(r"^::: (everypose[\w.]*)", page.read_text(), re.MULTILINE):
            assert defined(target), f"{name_of(page)}: {target}"


def defined(target: str) -> bool:
    """Whether a dotted name is a module, or is defined in one; without importing it."""
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT / "src" / Path(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.exists():
                names = parts[length:]
                return all(
                    re.search(rf"^\s*(?:def|class) {name}\b|^{name}\b", file.read_text(), re.M) for name in names
                )
    return False


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=lambda b: f"{b.page.stem}:{b.line}")
def test_recipes_of_the_pages_are_valid(block: Block, tmp_path: Path) -> None:
    if "extends" not in block.text:
        tomllib.loads(block.text)
        return
    (tmp_path / "recipe.toml").write_text(block.text)
    assert load_recipe(tmp_path / "recipe.toml").name == tomllib.loads(block.text)["name"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "workspace"
    build_workspace(folder)
    return folder


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_page_runs(page, prepared, tmp_path, monkeypatch, everypose):
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language == "toml" and block.title.endswith(".toml"):
            Path(block.title).write_text(block.text)
        if not block.runs:
            continue
        if block.language == "python":
            exec(compile(block.text, f"{page.name}:{block.line}", "exec"), names)
        for command in block.commands if block.language == "bash" else []:
            if is_plain(command):
                words = everypose_words(command)
                done = everypose(*words)
                assert done.code == 0, f"{page.name}:{block.line}: {command}\n{done.out}\n{done.err}"
            else:
                run_in_shell(command, folder)
