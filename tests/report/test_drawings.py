import math

from gainstage.report import chart, fold


def test_a_curve_falls_from_the_top_left_to_the_bottom_right() -> None:
    rows = chart({"a": [3.0, 2.0, 1.0, 0.0]}, width=30, height=4).splitlines()[1:5]
    starts = [row.index("o") for row in rows]
    assert starts == sorted(starts)
    assert len(set(starts)) == 4


def test_no_line_is_longer_than_the_width_and_ascii_means_ascii() -> None:
    drawn = chart({"one": [2.3] * 300, "two": [1e-3] * 7}, y="loss", width=60, unicode=False)
    assert drawn.isascii()
    assert max(map(len, drawn.splitlines())) <= 60


def test_a_curve_that_stops_early_is_drawn_only_that_far() -> None:
    row = chart({"a": [1.0] * 100, "b": [1.0] * 10}, width=60, height=3).splitlines()[1]
    assert row.count("*") < row.count("o")


def test_values_that_are_not_finite_leave_a_gap() -> None:
    assert "nothing to draw" in chart({"a": [math.nan, math.inf]})
    assert "o" in chart({"a": [1.0, math.nan, 1.0]}, width=30).splitlines()[1]


def test_rows_that_differ_only_in_numbers_are_folded() -> None:
    table = "\n".join(["name  law", *(f"fc{i}.weight  he\nfc{i}.bias  zero" for i in range(20)), "head  lecun"])
    folded = fold(table).splitlines()
    assert folded[0] == "name  law"
    assert folded[1:3] == ["fc0.weight  he", "fc0.bias  zero"]
    assert "36 more rows" in folded[3]
    assert folded[4:] == ["fc19.weight  he", "fc19.bias  zero", "head  lecun"]


def test_nothing_is_left_out_of_a_table_without_repeats() -> None:
    table = "alpha\nbeta\n\n\n\n\n\ngamma"
    assert fold(table) == table
