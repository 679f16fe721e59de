"""Charts of a study draw the numbers of its results, and nothing by colour alone."""

import matplotlib as mpl
import pytest

mpl.use("Agg")
from made_results import GUESS, arm_result, outcome, results_of, small, spread, textbook_like
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from gainstage.study import ArmResult
from gainstage.study._arm import Arm, grid
from gainstage.study._errors import StudyError
from gainstage.study._points import bands
from gainstage.study.figures import curves, differences, heatmap, plot, scores


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def lines(ax) -> dict:
    return {line.get_label(): line for line in ax.get_lines()}


def test_curves_draw_the_mean_of_each_look_and_its_interval() -> None:
    results = small()
    ax = curves(results)
    for i, label in enumerate(results.labels):
        points = bands(results, i)
        line = lines(ax)[label]
        assert list(line.get_xdata()) == [p.step for p in points] == [25, 50, 75, 100]
        assert list(line.get_ydata()) == pytest.approx([p.mean for p in points])
        ends = ax.collections[i].get_paths()[0].vertices[:, 1]
        assert (ends.min(), ends.max()) == pytest.approx((min(p.low for p in points), max(p.high for p in points)))
    assert "validation" in ax.get_ylabel()
    assert ax.get_xlabel() == "step"


def test_the_band_is_the_t_interval_over_the_seeds() -> None:
    """Five validation scores of 0.83 to 0.87 at the last look: 0.85 ± 2.776 s / sqrt(5)."""
    results = results_of([arm_result(Arm(), spread(0.86, 0.02))])
    last = bands(results, 0)[-1]
    assert last.mean == pytest.approx(0.85)
    assert last.high - last.mean == pytest.approx(2.7764 * 0.0158114 / 5**0.5, rel=1e-4)
    assert last.mean - last.low == pytest.approx(last.high - last.mean)


def test_differences_are_paired_and_stand_beside_the_margin() -> None:
    """Seeds that go up and down together: the interval is that of the differences, 0.02 ± 4.303 · 0.001 / sqrt(3)."""
    results = results_of(
        [arm_result(Arm(depth=d), scores) for d, scores in ((1, [0.8, 0.9, 0.7]), (2, [0.819, 0.92, 0.721]))]
    )
    ax = differences(results, to=0)
    (bars,) = ax.containers
    assert list(bars[0].get_xdata()) == pytest.approx([0.02])
    (ends,) = bars[2][0].get_segments()
    half = max((ends[1][0] - ends[0][0]) / 2, 0)
    spread = max(0.001, results.resolution / 6**0.5)
    assert half == pytest.approx(4.3027 * spread / 3**0.5, rel=1e-3)
    assert sorted(lines(ax)["a seed"].get_xdata()) == pytest.approx([0.019, 0.02, 0.021])
    (band,) = ax.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((-results.margin, results.margin))
    assert [t.get_text() for t in differences(results).get_yticklabels()] == [results.labels[0]]  # to the best
    with pytest.raises(StudyError, match="two arms"):
        differences(results_of([arm_result(Arm(), [0.9])]))


def test_one_seed_has_no_band() -> None:
    results = results_of([arm_result(Arm(), [0.9])])
    assert all(p.low == p.mean == p.high for p in bands(results, 0))


def test_a_run_without_a_curve_leaves_none() -> None:
    arm = ArmResult(Arm(), 0.1, (), False, (outcome(0.9), outcome(0.1, failed="lost its worker", looks=0)))
    assert bands(results_of([arm]), 0) == ()
    assert len(curves(results_of([arm])).get_lines()) == 2


def test_scores_draw_the_mean_the_interval_every_seed_and_guessing() -> None:
    results = small()
    ax = scores(results)
    found = [results.summary(i) for i in range(6)]
    container = ax.containers[0]
    assert list(container[0].get_xdata()) == pytest.approx([s.mean for s in found])
    ends = [segment[:, 0] for segment in container[2][0].get_segments()]
    assert [tuple(end) for end in ends] == [pytest.approx((s.low, s.high)) for s in found]
    seeds = lines(ax)["a seed"]
    assert sorted(seeds.get_xdata()) == pytest.approx(sorted(s for each in results.arms for s in each.scores))
    assert list(lines(ax)["guessing"].get_xdata()) == [GUESS, GUESS]
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels[3] == "xavier_normal depth 20 (2 of 5 failed)"
    assert ax.get_ylim() == (5.5, -0.5)
    assert ax.get_xlabel() == "accuracy on the test part"


def test_the_arms_of_a_figure_can_be_chosen() -> None:
    results = small()
    ax = curves(results, arms=["zeros depth 4", 0], names=["a", "b"])
    assert list(lines(ax)["a"].get_ydata()) == pytest.approx([p.mean for p in bands(results, "zeros depth 4")])
    assert [t.get_text() for t in scores(results, arms=[1]).get_yticklabels()] == ["he_normal depth 20"]


def test_a_heat_map_has_a_cell_for_each_arm_with_its_number() -> None:
    results = textbook_like()
    ax = heatmap(results)
    field = ax.collections[0].get_array()
    assert field.shape == (8, 8)
    number = {label: results.summary(i).mean for i, label in enumerate(results.labels)}
    rows = [t.get_text() for t in ax.get_yticklabels()]
    columns = [t.get_text() for t in ax.get_xticklabels()]
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            assert field[r, c] == pytest.approx(number[f"{row} {column.replace(',', '')}"])
    told = {text.get_position(): text.get_text() for text in ax.texts}
    assert told[0.5, 0.5] == f"{field[0, 0]:.2f}"
    assert len(told) == 64


def test_rows_and_columns_of_a_heat_map_can_be_chosen() -> None:
    ax = heatmap(small(), rows="depth")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["depth 4", "depth 20"]
    assert ax.get_xlabel() == "init"


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_numbers_in_cells_can_be_read_on_every_colour() -> None:
    """At least 4.5 to 1, as WCAG 2.2 asks of text."""
    arms = [
        arm_result(arm, [0.02 * i] * 3) for i, arm in enumerate(grid(depth=[1, 2, 3, 4, 5], width=list(range(1, 10))))
    ]
    ax = heatmap(results_of(arms, guess=0.0))
    mesh = ax.collections[0]
    ax.figure.canvas.draw()
    for text, face in zip(ax.texts, mesh.get_facecolors(), strict=True):
        a, b = luminance(to_hex(face)), luminance(to_hex(text.get_color()))
        assert (max(a, b) + 0.05) / (min(a, b) + 0.05) >= 4.5


def test_no_two_lines_are_told_apart_by_colour_alone() -> None:
    results = textbook_like()
    drawn = [line for line in curves(results).get_lines() if line.get_label() != "guessing"]
    styles = [(line.get_marker(), line.get_linestyle()) for line in drawn[:36]]
    assert len(set(styles)) == 36
    assert len({(line.get_color(), *style) for line, style in zip(drawn, styles, strict=False)}) == 36


def test_names_are_drawn_as_they_are() -> None:
    """Dollars are no formula, a leading underscore is no secret, and what does not print is left out."""
    names = ["$\\frac$", "_private", "a\x1b[31m\nb", "<script>"]
    results = results_of([arm_result(Arm(name=name, depth=i + 1), spread(0.9)) for i, name in enumerate(names)])
    for draw in (curves, scores):
        ax = draw(results)
        ax.figure.canvas.draw()
    legend = [text.get_text() for text in curves(results).get_legend().get_texts()]
    assert legend == ["\\$\\frac\\$", " _private", "a [31m b", "<script>", "guessing"]


def test_a_given_axes_is_drawn_into_and_returned() -> None:
    _, ax = plt.subplots()
    for kind in ("scores", "curves", "heatmap"):
        assert plot(small(), kind, ax) is ax
        assert small().plot(kind, ax=ax) is ax


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda r: plot(r, "curve"), "Did you mean 'curves'?"),
        (lambda r: heatmap(r, rows="dept"), "Did you mean 'depth'?"),
        (lambda r: heatmap(r, columns="norm"), "They differ in: init, depth"),
        (lambda r: curves(r, arms=["he"]), "no arm is called 'he'"),
        (lambda r: heatmap(textbook_like(), rows="init", columns="depth"), "they also differ in activation"),
        (lambda r: heatmap(results_of([arm_result(a, [0.9]) for a in grid(depth=[1, 2])])), "needs two factors"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, said: str) -> None:
    with pytest.raises(StudyError) as error:
        draw(small())
    assert said in str(error.value)
