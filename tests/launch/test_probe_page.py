import dataclasses

import pytest

from launch.probe.page import html_page
from tests.launch.browser import opened, requests_of
from tests.topology import sample, synthetic
from tests.topology.sample import finding, health

HOSTILE = '<script>alert(1)</script><img src="https://example.org/x.png" onerror="alert(2)">\x00\x1b[31m\u202e&amp;'
WIDTHS = (390, 1280, 1600)
FOUND = finding("n1", "fail", "GPU 3: PCIe x4 where card and slot can x16", "Copies are slow.", "Reseat the card.")
CLUSTERS = {
    "one": lambda: sample.cluster(sample.plain()),
    "two": sample.two,
    "many": lambda: sample.many(64),
    "hostile": lambda: sample.cluster(
        dataclasses.replace(
            synthetic.with_gpu(0, name=synthetic.ok(HOSTILE))(sample.eight_gpus()), name=HOSTILE, problems=(HOSTILE,)
        ),
        problems=(HOSTILE,),
        missing=(sample.Missing(name=HOSTILE, why=HOSTILE),),
    ),
}


@pytest.fixture
def shown(browser, tmp_path):
    def show(name, width=1600, scheme="light", judged=None):
        path = tmp_path / "page.html"
        path.write_text(html_page(CLUSTERS[name](), health(FOUND) if judged is None else judged), encoding="utf-8")
        requests_of(browser)  # those of the page before
        return opened(browser, path, width, scheme)

    return show


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CLUSTERS)
def test_a_browser_shows_it_whole_and_asks_for_nothing(shown, name, width):
    page = shown(name, width, judged=health(finding(HOSTILE, "fail", HOSTILE, HOSTILE, HOSTILE), FOUND))
    assert page.get_log("browser") == []
    assert [url for url in requests_of(page) if not url.startswith(("file:", "data:"))] == []
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert page.execute_script("return document.querySelectorAll('img, script, iframe, object').length") == 0
    assert page.execute_script("return [...document.querySelectorAll('section')].every(s => s.offsetHeight > 40)")
    assert page.execute_script("return document.querySelectorAll('svg.cluster').length") == 1
    if width >= 1200:  # in a window of a desk, the picture is seen whole
        edges = "const b = document.querySelector('svg.cluster').getBoundingClientRect(); return [b.left, b.right]"
        left, right = page.execute_script(edges)
        assert left >= 0 and right <= width
    if name == "hostile":
        assert "<script>alert(1)</script>" in page.execute_script("return document.body.innerText")


@pytest.mark.parametrize("name", ["one", "two", "many"])
def test_words_of_the_picture_take_the_room_that_was_reckoned(shown, name):
    """None of them touches another, or leaves the picture, as the browser sets them."""
    page = shown(name)
    touching = page.execute_script("""
        const words = [...document.querySelectorAll('svg.cluster text')];
        const boxes = words.map(t => [t.textContent, t.getBoundingClientRect()]);
        const whole = document.querySelector('svg.cluster').getBoundingClientRect();
        const out = boxes.filter(([_, b]) => b.right > whole.right || b.left < whole.left).map(([t]) => t);
        for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
            const [a, b] = [boxes[i][1], boxes[j][1]];
            const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (a.left < b.right && b.left < a.right && high > 3) out.push([boxes[i][0], boxes[j][0]]);
        }
        return out;
    """)  # lines are higher than their letters: boxes of neighbours share up to 3 pixels
    assert touching == []


def test_the_page_does_not_paint_the_picture(shown):
    page = shown("two")
    sizes = page.execute_script("""
        return [...document.querySelectorAll('svg.cluster text')].map(t => parseFloat(getComputedStyle(t).fontSize))
    """)
    assert 16 in sizes and 10.5 in sizes and min(sizes) >= 9


def test_light_and_dark(shown):
    ground = "return getComputedStyle(document.querySelector('svg.cluster > rect')).fill"
    assert shown("one").execute_script(ground) == "rgb(255, 255, 255)"
    dark = shown("one", scheme="dark").execute_script(ground)
    assert max(int(part) for part in dark[4:-1].split(",")) < 40


def test_facts_findings_and_what_is_not_known_are_in_it():
    page = html_page(sample.two(), health(FOUND))
    for words in (
        "PCIe x4 where card and slot can x16", "Reseat the card.", "1 fail, 1 pass",  # health
        "0000:1b:00.0", "NVIDIA H100 80GB HBM3", "17 of 18", "10.0.0.2/16", "/scratch/runs",  # facts
        "host to GPU, pinned", "All-reduce over 16 ranks on 2 nodes", "Pairs of nodes",  # rates
        "unsupported: Not Supported", "retired pages pending",  # unknown
    ):  # fmt: skip
        assert words in page


def test_without_health_nothing_is_called_healthy():
    page = html_page(sample.cluster(sample.plain()), None)
    assert 'id="health"' not in page and "not judged" in page and ">pass<" not in page
