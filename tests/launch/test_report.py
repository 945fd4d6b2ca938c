import json
import shutil
from html.parser import HTMLParser

import pytest

from cluster.markup import tag
from launch.cli import main
from launch.report import charts, figures
from tests.launch.browser import opened, requests_of

HOSTILE = '<script>alert(1)</script><img src="https://example.org/x.png" onerror="alert(2)"></p>\x00\x1b[31m\u202e&amp;'
WIDTHS = (390, 1280)
SECTIONS = {"score", "curves", "classes", "mistakes", "data", "time", "machine", "recipe", "attempts"}


class Words(HTMLParser):
    """The words of a page, its elements, and its ids."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.ids, self.words = [], set(), []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, name, attributes):
        self.elements.append(name)
        self.ids.update(value for key, value in attributes if key == "id")

    def handle_data(self, data):
        if self.elements[-1:] not in (["script"], ["style"]):
            self.words.append(data)


def written(run, capsys):
    assert main(["report", str(run)]) == 0
    path = capsys.readouterr().out.strip()
    assert path == str(run / "report.html")
    return Words((run / "report.html").read_text())


def test_a_report_holds_the_run(made_run, capsys):
    page = written(made_run(), capsys)
    assert page.ids >= SECTIONS
    for words in (
        "Accuracy 0.8000 baseline 0.7500 +0.0500",
        "F1 macro 0.8100 baseline 0.7400 +0.0700",
        "trained on 40 documents of",
        "A Processor 9000",
        "f" * 64,
        "model.hidden 24 256",  # setting, here, default
        "class-2 0.5000 0.5000 0.5000 9 7 class-0 (3)",
        "8 of 40 documents of the test split are wrong (20.0 %)",
        "document number 35",
        "source.jsonl:36",
        "Waiting for data 2.0 s 8.5 %",  # 20 lines of 0.1 s; with evaluations and checkpoints 23.5 s in all
        "Compute 12.0 s 51.1 %",
        "Communication 4.0 s",
        "Evaluation 2.5 s",
        "Checkpoints 1.0 s",
        "Finished after 200 steps.",
    ):
        assert words in page.text
    assert page.elements.count("script") == 1  # ours


def test_a_report_of_numbers_and_one_of_sets(made_run, capsys, tmp_path):
    page = written(made_run(task="regress"), capsys)
    assert "Mean squared error 0.2500 baseline 0.5000 −0.2500" in page.text and "R² 0.9000" in page.text
    assert "numbers" in page.ids and "Predicted against true" in page.text and "classes" not in page.ids
    for folder in ("run", "prepared"):
        shutil.rmtree(tmp_path / folder)
    page = written(made_run(task="multilabel"), capsys)
    assert "F1 micro 0.8200" in page.text and "Each label" in page.text and "Confusion matrix" not in page.text


def test_nothing_that_data_says_becomes_markup(made_run, capsys):
    run = made_run(words=lambda i: f"{i} {HOSTILE}")
    evaluation = json.loads((run / "evaluation.json").read_text())
    evaluation["labels"][0] = evaluation["unknown_labels"] = {HOSTILE: 3}
    evaluation["labels"][0] = HOSTILE
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    (run / "verdict.json").write_text(json.dumps({"verdict": "failed", "message": HOSTILE, "traceback": HOSTILE}))
    page = written(run, capsys)
    assert page.elements.count("script") == 1 and "img" not in page.elements
    assert page.text.count("<script>alert(1)</script>") > 8
    assert "\x00" not in page.text and "\x1b" not in page.text


def test_of_many_classes_those_are_drawn_that_others_are_taken_for(made_run, capsys):
    run = made_run(classes=150, documents=300)
    scored = json.loads((run / "evaluation.json").read_text())
    # Each class is taken for the last, which is always right itself.
    scored["confusion"] = [[0] * 149 + [3] for _ in range(150)]
    (run / "evaluation.json").write_text(json.dumps(scored))
    assert "The 60 of 150 classes with the most mistakes" in written(run, capsys).text
    page = (run / "report.html").read_text()
    matrix = page[page.index('aria-label="Confusion matrix"') :]
    assert ">class-149<" in matrix[: matrix.index("</svg>")]


def test_an_unfinished_run_says_so(made_run, capsys):
    page = written(made_run(finished=False), capsys)
    assert "This run is not finished" in page.text and "Step 200 of 200 is the last recorded" in page.text
    assert "Best on the validation split, at step 200; not scored on a test split yet" in page.text
    assert "it has not been scored yet" in page.text
    assert page.ids >= SECTIONS - {"classes", "mistakes"}


def test_a_run_that_was_never_started(made_run, capsys):
    run = made_run(finished=False)
    shutil.rmtree(run / "logs")
    for name in ("plan.json", "metrics.jsonl"):
        (run / name).unlink()
    page = written(run, capsys)
    for words in ("has not been started", "Nothing has been scored yet", "No step has been recorded yet"):
        assert words in page.text


def test_what_is_gone_is_named_and_the_rest_is_shown(made_run, capsys, tmp_path):
    run = made_run()
    (tmp_path / "prepared").rename(tmp_path / "away")
    page = written(run, capsys)
    assert "The prepared data is gone" in page.text and "There is no baseline" in page.text
    assert "Accuracy 0.8000" in page.text and "Each class" in page.text


def test_a_baseline_on_another_split_is_not_held_against_it(made_run, capsys, tmp_path):
    run = made_run()
    (tmp_path / "prepared" / "baseline.json").write_text('{"accuracy": 0.9, "split": "validation"}')
    page = written(run, capsys)
    assert "not comparable" in page.text and "baseline 0.9000" not in page.text


def test_records_of_before_seconds_were_kept(made_run, capsys):
    old = '{"kind": "step", "step": 5, "loss": 1.5}\n{"kind": "checkpoint", "step": 5, "seconds": 0.5}\n'
    page = written(made_run(**{"metrics.jsonl": old}), capsys)
    assert "hold no times of steps" in page.text and "Checkpoints 0.50 s 100.0 %" in page.text


def test_how_ranks_ended_is_told(made_run, capsys):
    run = made_run(finished=False)
    failure = {"rank": 1, "kind": "MemoryError", "message": "<b>no room</b>", "because_of_a_peer": False}
    (run / "logs" / "attempt-000" / "rank-1.failure.json").write_text(json.dumps(failure))
    assert "1 1 MemoryError <b>no room</b>" in written(run, capsys).text


def test_where_it_goes(made_run, capsys, tmp_path):
    run, path = made_run(), tmp_path / "page.html"
    assert main(["report", str(run), "--output", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(path)}
    assert path.exists() and not (run / "report.html").exists()
    assert not [left for left in tmp_path.iterdir() if "partial" in left.name]


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda run: shutil.rmtree(run), "There is no run at"),
        (lambda run: (run / "run.json").unlink(), "is no run of muster"),
        (lambda run: (run / "evaluation.json").write_text("{"), "is not whole JSON"),
        (lambda run: (run / "recipe.toml").write_text("="), "recipe.toml"),
    ],
)
def test_what_is_no_run_is_refused(made_run, capsys, spoil, said):
    run = made_run()
    spoil(run)
    assert main(["report", str(run)]) == 2
    assert said in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_refused(made_run, capsys, tmp_path):
    assert main(["report", str(made_run()), "--output", str(tmp_path / "no" / "page.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


# ---- in a browser ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "how", [{}, {"classes": 60, "documents": 180}, {"task": "regress"}, {"task": "multilabel"}, {"finished": False}],
    ids=["classes", "sixty classes", "numbers", "sets", "unfinished"],
)  # fmt: skip
def test_a_browser_shows_it_whole_and_asks_for_nothing(browser, made_run, capsys, width, how):
    run = made_run(words=lambda i: f"{i} {HOSTILE} {'long' * 90}", **how)
    written(run, capsys)
    requests_of(browser)  # those of the page before
    opened(browser, run / "report.html", width)
    assert browser.get_log("browser") == []
    assert [url for url in requests_of(browser) if not url.startswith(("file:", "data:"))] == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.execute_script("return [...document.querySelectorAll('section')].every(s => s.offsetHeight > 40)")
    assert browser.execute_script("return document.querySelectorAll('svg[role=img] > title').length") >= 4
    shown = browser.execute_script("return document.body.innerText")
    assert "Curves over the steps" in shown
    assert ("<script>alert(1)</script>" in shown) == how.get("finished", True)
    too_small = (
        "return [...document.querySelectorAll('svg text')].filter(t => t.getBoundingClientRect().height < 9).length"
    )
    assert browser.execute_script(too_small) == 0  # words in pictures do not shrink with the width


def test_values_under_the_pointer_and_tables_that_sort(browser, made_run, capsys):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    run = made_run()
    written(run, capsys)
    opened(browser, run / "report.html", 1280)
    tip = browser.find_element(By.ID, "tip")
    assert not tip.is_displayed()
    ActionChains(browser).move_to_element(browser.find_element(By.CSS_SELECTOR, "#curves .cover")).perform()
    assert tip.is_displayed() and "training" in tip.text and "validation" in tip.text and "step" in tip.text
    ActionChains(browser).move_to_element(browser.find_element(By.CSS_SELECTOR, ".confusion .wrong")).perform()
    assert "predicted: class-1" in tip.text and "of 14 documents" in tip.text
    heads = browser.find_elements(By.CSS_SELECTOR, "table.sortable th button")
    heads[0].click()
    assert [row.text for row in browser.find_elements(By.CSS_SELECTOR, "table.sortable tbody th")][0] == "class-0"
    heads[0].click()
    assert [row.text for row in browser.find_elements(By.CSS_SELECTOR, "table.sortable tbody th")][0] == "class-2"


def test_light_and_dark(browser, made_run, capsys):
    run = made_run()
    written(run, capsys)
    ground = "return getComputedStyle(document.body).backgroundColor"
    assert opened(browser, run / "report.html", 1280).execute_script(ground) == "rgb(255, 255, 255)"
    dark = opened(browser, run / "report.html", 1280, "dark").execute_script(ground)
    assert max(int(part) for part in dark[4:-1].split(",")) < 40


# ---- arithmetic -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.13, 2.5, [0, 0.5, 1, 1.5, 2, 2.5]),
        (3, 3, [2.6, 2.8, 3, 3.2, 3.4]),  # one value has a range around it
        (0, 0, [-1, -0.5, 0, 0.5, 1]),
        (-5, 12, [-5, 0, 5, 10, 15]),
    ],
)
def test_ticks(low, high, expected):
    assert figures.ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value, words",
    [(0.0, "0.00 s"), (12.34, "12.3 s"), (65, "1 min 05 s"), (7384, "2 h 03 min"), (float("nan"), "–"), (None, "–")],
)
def test_seconds(value, words):
    assert figures.seconds(value).replace("\u00a0", " ") == words


def test_many_points_are_thinned_to_means_in_order():
    points = [(float(x), float(x % 2)) for x in range(1000)]
    thin = figures.thinned(points, 100)
    assert len(thin) == 100 and thin == sorted(thin) and {y for _, y in thin} == {0.5}
    assert figures.thinned(points[:5], 100) == points[:5]


def test_the_interval_of_a_share_is_wilsons():
    # 80 of 100: 0.7112 to 0.8666 (Brown, Cai and DasGupta 2001, equation 4)
    assert figures.half_width(0.8, 100) == pytest.approx((0.8666 - 0.7112) / 2, abs=1e-4)


def test_what_is_rare_is_not_shown_as_nothing():
    assert figures.percent(0.0001) == "< 0.1 %".replace(" ", "\u00a0") and figures.percent(0) == "0.0\u00a0%"


def test_curves_of_one_point_and_of_equal_values_can_be_drawn():
    for points in ([(5.0, 1.0)], [(1.0, 2.0), (2.0, 2.0)]):
        drawn = charts.curves("t", [charts.Curve("c", "c1", points)], (points[0][0], points[-1][0]), write=str)
        assert "nan" not in drawn and "inf" not in drawn


def test_markup_escapes_all_but_itself():
    assert tag("p", "<b>", tag("i", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<i>&amp;</i></p>'
