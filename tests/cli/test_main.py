import resource
import subprocess
import sys
from pathlib import Path

import pytest

import everypose
from everypose.cli import main as cli
from everypose.errors import EveryposeError, UsageError

EXAMPLE = str(Path(everypose.__file__).parent / "examples" / "astronaut.jpg")
HEAVY = ["numpy", "cv2", "pydantic", "onnxruntime", "torch", "rich"]


def run_python(*arguments):
    """Run Python and give what it printed and the processor seconds that it took, which other load does not change."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_importing_everypose_imports_nothing_heavy():
    code = f"import sys, everypose; print([name for name in {HEAVY} if name in sys.modules])"
    printed, seconds = run_python("-c", code)
    assert printed.strip() == "[]"
    assert seconds < 0.15


def test_help_imports_nothing_heavy_and_is_quick():
    code = f"""
import sys
from everypose.cli.main import main
sys.argv = ["everypose", "--help"]
try:
    main()
except SystemExit:
    print([name for name in {HEAVY} if name in sys.modules])
"""
    printed, seconds = run_python("-c", code)
    assert printed.strip().endswith("[]")
    assert seconds < 0.4


def test_python_m_everypose_is_the_command():
    printed, _ = run_python("-m", "everypose", "--version")
    assert printed.strip() == f"everypose {everypose.__version__}"


def test_the_public_names_are_there():
    assert set(everypose.__all__) <= set(dir(everypose))
    for name in everypose.__all__:
        assert getattr(everypose, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Peple'"):
        everypose.Peple  # noqa: B018


@pytest.mark.parametrize(
    ("words", "expected"), [("everypose eva", "evaluate"), ("everypose evaluate --met", "--metric")]
)
def test_the_shell_completes_commands_and_options(words, expected, monkeypatch):
    monkeypatch.setenv("_EVERYPOSE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    printed, _ = run_python("-m", "everypose")
    assert printed.strip() == expected


def test_every_command_has_help_with_an_example(everypose):
    listed = everypose("--help")
    assert listed.code == 0
    commands = [line.split()[0] for line in listed.out.partition("Commands:")[2].splitlines() if line.strip()]
    assert {"predict", "demo", "models", "train", "evaluate", "import", "export", "data"} <= set(commands)
    for command in commands:
        shown = everypose(command, "--help")
        assert shown.code == 0
        assert "xample" in shown.out or "Commands:" in shown.out, command


@pytest.mark.parametrize("arguments", [["walk"], ["predict"], ["predict", "a.jpg", "--speed"], ["--color"]], ids=str)
def test_wrong_usage_leaves_with_2(everypose, arguments):
    done = everypose(*arguments)
    assert done.code == 2
    assert "Usage: everypose" in done.err


@pytest.mark.parametrize(
    ("error", "code"), [(EveryposeError("no good"), 1), (UsageError("no good"), 2)], ids=["input", "usage"]
)
def test_errors_are_one_line(everypose, monkeypatch, error, code):
    def fail(**_):
        raise error

    monkeypatch.setattr(cli, "app", fail)
    done = everypose("models")
    assert (done.code, done.err) == (code, "everypose: no good\n")


def test_a_defect_keeps_its_traceback(everypose, monkeypatch):
    def fail(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(ZeroDivisionError):
        everypose("models")


LONG = "n" * 300
"""A name that no file system takes."""


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", LONG),
        ("predict", EXAMPLE, "-o", LONG),
        ("predict", EXAMPLE, "-m", LONG),
        ("predict", EXAMPLE, "--detector", LONG),
        ("predict", EXAMPLE, "--boxes", LONG),
        ("track", EXAMPLE, "-o", LONG),
        ("data", "doctor", LONG),
        ("data", "convert", LONG, "-o", "out.json"),
        ("data", "statistics", LONG),
        ("data", "join", LONG, "-o", "out.json"),
        ("bulk", "status", LONG),
        ("bulk", "plan", LONG),
        ("models", "show", LONG),
        ("import", LONG, "-o", "out"),
        ("export", LONG, "-o", "out.onnx"),
        ("recipes", "show", LONG),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_name_that_is_too_long_is_one_line(everypose, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = everypose(*arguments)
    assert done.code in (1, 2)
    assert "Traceback" not in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("track", "results.csv", "--smooth", "butterworth"), "--cutoff"),
        (("track", "results.csv"), "--high-score"),
        (("predict", "a.jpg"), "--fps"),
        (("serve",), "--max-mb"),
        (("bulk", "run", "photos", "-o", "out"), "--segment-seconds"),
        (("train", "boir-w32-coco"), "--max-time"),
    ],
)
def test_numbers_that_are_not_finite_are_refused(everypose, command, option, value):
    done = everypose(*command, f"{option}={value}")
    assert done.code == 2
    assert option in done.err
    assert "Traceback" not in done.err
