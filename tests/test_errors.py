"""A user's error ends a program with one line; a defect keeps its traceback."""

import pytest

from everypose.errors import EveryposeError, UsageError, exit_on_user_error


@pytest.mark.parametrize(("error", "code"), [(EveryposeError("cannot read a.jpg"), 1), (UsageError("no such size"), 2)])
def test_a_users_error_is_one_line(error: EveryposeError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, exit_on_user_error("program"):
        raise error
    assert left.value.code == code
    assert capsys.readouterr().err == f"program: {error}\n"


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_user_error("program"):
        raise ZeroDivisionError
