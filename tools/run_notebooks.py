"""Execute notebooks and write them with their outputs.

python -m tools.run_notebooks FOLDER OUT
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

PATIENCE = 600
"""Seconds that a cell may take."""


def main() -> int:
    """Run every notebook in a folder of its own; exit code 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    failed = [path for path in sorted(arguments.folder.glob("*.ipynb")) if not execute(path, arguments.out)]
    return int(bool(failed))


def execute(path: Path, out: Path) -> bool:
    """Run one notebook with ``out``/NAME as working folder; writes ``out``/NAME.ipynb, also after an error."""
    work = out / path.stem
    work.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(work)}})
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return False
    finally:
        nbformat.write(notebook, out / path.name)
    print(f"{path}: {len(notebook.cells)} cells")
    return True


if __name__ == "__main__":
    sys.exit(main())
