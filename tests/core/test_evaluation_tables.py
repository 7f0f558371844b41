"""Tables, plots, pages and films say what the results say."""

import json
import re
from pathlib import Path

import av
import pytest

from frs_core.evaluation.film import Film
from frs_core.evaluation.plots import save_figure, success_bars, success_by_episodes
from frs_core.evaluation.report import Section, markdown_rows, plot, still, write_report
from frs_core.evaluation.results import Result
from frs_core.evaluation.tables import ALL, as_json, episodes_of, markdown, rates
from tests.fakes.world import PointWorld


def results() -> list[Result]:
    out = [Result("dsbc", task, s, s < 8, steps=100, chunks=10) for task in ("mug", "can") for s in range(10)]
    out += [Result("dsbc@3", "mug", s, s < 4, steps=100, chunks=10) for s in range(10)]
    out += [Result("base", task, s, s < 1, steps=90, chunks=10) for task in ("mug", "can") for s in range(10)]
    out += [Result("frs", "mug", s, True, steps=80, chunks=10, steered_chunks=6) for s in range(9)]
    out += [Result("frs", "mug", 9, False, error="the worker died")]
    return out


def test_rates_are_counted_per_task_and_pooled() -> None:
    by = {(r.method, r.task): r for r in rates(results())}
    assert (by["dsbc", "mug"].successes, by["dsbc", "mug"].trials) == (8, 10)
    assert (by["dsbc", ALL].successes, by["dsbc", ALL].trials) == (16, 20)
    assert by["frs", ALL].steered_share == pytest.approx(0.6)


def test_episodes_that_could_not_be_run_are_reported_not_counted() -> None:
    frs = next(r for r in rates(results()) if (r.method, r.task) == ("frs", ALL))
    assert (frs.successes, frs.trials, frs.errors) == (9, 9, 1)
    assert "1 episode(s) could not be run" in markdown(results())


def test_the_markdown_table_has_a_row_per_method_in_the_tables_order() -> None:
    rows = markdown_rows(markdown(results()))
    assert rows[0] == ("method", "mug", "can", "all (95 % interval)")
    assert [row[0] for row in rows[1:]] == ["Base policy", "FRS, calibrated", "DSBC, 3 episodes", "DSBC"]
    assert rows[1] == ("Base policy", "10 % (1/10)", "10 % (1/10)", "10 % (3–30, n = 20)")
    assert rows[3][2] == "–"


def test_many_tasks_run_down_the_table() -> None:
    many = [Result("base", f"task {i}", s, s < i, steps=100, chunks=10) for i in range(9) for s in range(10)]
    rows = markdown_rows(markdown(many))
    assert rows[0] == ("task", "Base policy")
    assert rows[4] == ("task 3", "30 % (3/10)")
    assert rows[-1] == ("all (95 % interval)", "40 % (30–50, n = 90)")


def test_json_is_plain_and_standard() -> None:
    text = json.dumps(as_json(results()), allow_nan=False)
    assert {r["method"] for r in json.loads(text)["rates"]} == {"base", "frs", "dsbc", "dsbc@3"}


@pytest.mark.parametrize(("method", "count"), [("dsbc@3", 3), ("dsbc", 10), ("base", None), ("frs", None)])
def test_variants_tell_how_many_episodes_they_learned_from(method: str, count: int | None) -> None:
    assert episodes_of(method, default=10) == count


def test_bars_stand_as_high_as_the_success_rates(tmp_path: Path) -> None:
    figure = success_bars(results(), subtitle="two tasks")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == pytest.approx([10.0, 100.0, 40.0, 80.0])
    assert save_figure(figure, tmp_path / "plots" / "bars.png").stat().st_size > 5000


def test_success_by_episodes_draws_a_point_per_variant() -> None:
    figure = success_by_episodes(results(), full=10)
    line = figure.axes[0].get_lines()[0]
    assert list(line.get_xdata()) == [3, 10]
    assert list(line.get_ydata()) == pytest.approx([40.0, 80.0])


def test_the_page_needs_no_other_file_and_shows_text_as_text(tmp_path: Path) -> None:
    image = PointWorld().observe().frames["left"].image
    sections = (
        Section("Figures", ("a < b & c",), markdown_rows(markdown(results())), (still(image, "left <camera>"),)),
        Section("Plot", media=(plot(success_bars(results()), "bars"),), command="frs demo --task 'x'"),
    )
    page = write_report(tmp_path / "report.html", "A <title>", "It works.", sections).read_text()
    assert "a &lt; b &amp; c" in page
    assert "A &lt;title&gt;" in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert page.count("<figure>") == 2


def test_a_film_holds_every_picture_it_was_shown(tmp_path: Path) -> None:
    film = Film(tmp_path / "films" / "a.mp4", ("left", "wrist"), fps=7.5)
    for _ in range(5):
        film.add(PointWorld().observe())
    film.close()
    film.close()
    with av.open(str(film.path)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 5
    assert (frames[0].width, frames[0].height) == (448, 224)
