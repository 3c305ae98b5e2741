import json
import xml.etree.ElementTree as ElementTree

import pytest

from everypose.studies.chart import line_chart, nice_range
from everypose.studies.report import Study, difference, signed_percent


def test_a_study_is_a_table_in_markdown_and_json(tmp_path):
    study = Study(
        name="made",
        title="Made up",
        columns={"model": str, "gain": signed_percent},
        rows=[{"model": "a", "gain": difference(0.5, 0.25), "more": 1}, {"model": "b", "gain": difference(None, 1)}],
        picture=b"<svg/>",
        facts={"flip": True, "boxes": "ground truth"},
        notes=["a note"],
    )
    assert [path.name for path in study.write(tmp_path / "out")] == ["made.md", "made.json", "made.svg"]
    assert (tmp_path / "out" / "made.md").read_text() == (
        "# Made up\n\n| model | gain |\n|---|---|\n| a | +25.0 |\n| b | – |\n\n![Made up](made.svg)\n\n"
        "- flip: yes\n- boxes: ground truth\n\n- a note\n"
    )
    read = json.loads((tmp_path / "out" / "made.json").read_text())
    assert read["rows"] == [{"model": "a", "gain": 0.25, "more": 1}, {"model": "b", "gain": None}]
    assert (read["study"], read["facts"]["flip"]) == ("made", True)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0, 1, 0.2)),
        (32.8, 42.0, (32, 42, 2)),
        (1.0, 1.12, (1.0, 1.15, 0.05)),
        (50.0, 50.0, (50, 50.01, 0.01)),
        (0.0, 0.0, (0, 0.0002, 0.0002)),
    ],
)
def test_charts_reach_from_tick_to_tick(low, high, expected):
    first, last, step = nice_range(low, high)
    assert (first, last, step) == pytest.approx(expected)
    assert first <= low + 1e-9
    assert last >= high - 1e-9


def test_a_chart_is_svg_with_its_words_and_a_dot_for_each_value():
    chart = line_chart("IoU < 1", "AP", places=["0", "above 0.5"], lines={"a & b": [10.0, None], "other": [20.0, 30.0]})
    root = ElementTree.fromstring(chart)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"IoU < 1", "AP", "0", "above 0.5", "a & b", "other", "10", "30"} <= set(words)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 3


@pytest.mark.parametrize("count", [1, 5, 7, 12])
def test_every_line_of_a_chart_is_drawn_below_the_legend(count):
    root = ElementTree.fromstring(
        line_chart("x", "y", places=["0", "1"], lines={f"set {number}": [number, 2.0] for number in range(count)})
    )
    kind = "{http://www.w3.org/2000/svg}"
    assert len(list(root.iter(f"{kind}polyline"))) == count
    legend = [float(each.get("y")) for each in root.iter(f"{kind}text") if (each.text or "").startswith("set ")]
    heights = [float(each.get("cy")) for each in root.iter(f"{kind}circle")]
    assert len(legend) == count
    assert max(legend) < min(heights) < max(heights) < float(root.get("height"))
