"""Code blocks of the documentation pages, and how to run them."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SHELL_WORDS = re.compile(r"[|<>;&$`(]")
LANGUAGES = {"bash", "python", "toml", "json", "text", "yaml"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, title and text, and the page's line on which it starts."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def runs(self) -> bool:
        """Whether the test executes it: titles such as "needs COCO" or "install" mark the others."""
        return not self.title or "." in self.title

    @property
    def commands(self) -> list[str]:
        """The commands of a bash block, with continued lines joined and comments removed."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            language=match[2],
            title=(re.search(r'title="([^"]*)"', match[3]) or ["", ""])[1],
            text=match[4].replace(f"\n{match[1]}", "\n").removeprefix(match[1]),
        )
        for match in FENCE.finditer(text)
    ]


def everypose_words(command: str) -> list[str] | None:
    """The arguments of ``everypose`` in a command, if it runs it."""
    match = re.search(r"(?:^|[|] *|-m )everypose (\w.*)", command)
    return shlex.split(match[1].split(" | ")[0]) if match else None


def is_plain(command: str) -> bool:
    """Whether the command is everypose alone, which can run in this process."""
    return command.startswith("everypose ") and not SHELL_WORDS.search(re.sub(r"'[^']*'|\"[^\"]*\"", "", command))


def run_in_shell(command: str, folder: Path) -> None:
    """Run a command by bash, where ``everypose`` and ``python`` are those of this test."""
    scripts = folder / ".scripts"
    scripts.mkdir(exist_ok=True)
    for name, call in (("everypose", f"{sys.executable} -m everypose"), ("python", sys.executable)):
        (scripts / name).write_text(f'#!/bin/sh\nexec {call} "$@"\n')
        (scripts / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
