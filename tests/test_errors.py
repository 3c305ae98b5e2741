"""A user's error ends a program with one line; a defect keeps its traceback."""

from pathlib import Path

import pytest

from everypose.errors import EveryposeError, UsageError, exit_on_user_error


@pytest.mark.parametrize(("error", "code"), [(EveryposeError("cannot read a.jpg"), 1), (UsageError("no such size"), 2)])
def test_a_users_error_is_one_line(error: EveryposeError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, exit_on_user_error("program"):
        raise error
    assert left.value.code == code
    assert capsys.readouterr().err == f"program: {error}\n"


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(5, "Input/output error")])
def test_a_defect_is_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)), exit_on_user_error("program"):
        raise error


def test_an_error_of_the_file_system_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, exit_on_user_error("program"):
        Path("n" * 300).stat()
    assert left.value.code == 1
    assert capsys.readouterr().err == f"program: cannot use {'n' * 300}: File name too long\n"


def test_a_message_is_one_line_without_control_characters_whatever_it_is_made_of() -> None:
    error = EveryposeError("cannot read a\n.jpg: \x1b[31mred\x1b[0m\r\x85\u2028end\n\n")
    assert str(error) == r"cannot read a\n.jpg: \x1b[31mred\x1b[0m\r\x85\u2028end"
    assert str(EveryposeError(str(error))) == str(error)


def test_other_letters_and_bytes_of_file_names_stay() -> None:
    assert str(EveryposeError("caf\udce9 日本 \\n.jpg")) == "caf\udce9 日本 \\n.jpg"
