from everypose.core.progress import elapsed_time, track


def test_items_pass_through_in_order():
    assert list(track([1, 2, 3], "counting")) == [1, 2, 3]
    assert list(track(iter([1, 2, 3]), "counting", total=3, delay=0)) == [1, 2, 3]
    assert list(track([], "counting", delay=0)) == []


def test_nothing_is_shown_where_nobody_watches(capsys):
    list(track(range(5), "counting", delay=0))
    assert capsys.readouterr() == ("", "")


def test_a_bar_appears_on_a_terminal_for_work_that_lasts(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert list(track(range(5), "counting", delay=-1)) == list(range(5))
    out, err = capsys.readouterr()
    assert out == ""
    assert "counting" in err


def test_quiet_shows_nothing_even_there(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    list(track(range(5), "counting", quiet=True, delay=-1))
    list(track(range(5), "counting", delay=60))
    assert capsys.readouterr().err == ""


def test_the_time_of_a_block_is_shown_on_a_terminal_only(capsys, monkeypatch):
    with elapsed_time("fitting"):
        pass
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with elapsed_time("fitting", quiet=True):
        pass
    assert capsys.readouterr().err == ""
    with elapsed_time("fitting"):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert "fitting" in err
