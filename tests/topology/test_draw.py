import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import pytest

from cluster.topology.draw import colours, widths
from cluster.topology.draw.card import listed
from cluster.topology.draw.colours import PAINT
from cluster.topology.draw.curve import Axis
from cluster.topology.draw.judged import Judgements
from cluster.topology.draw.pairs import matrix
from cluster.topology.draw.picture import picture, summary, whole
from cluster.topology.draw.scene import Block, every_word, flowed
from cluster.topology.fact import unknown
from cluster.topology.health.judge import judge
from cluster.topology.kinds import kinds
from cluster.topology.probe import probe
from tests.topology import sample, synthetic
from tests.topology.machines import KINDS, machine
from tests.topology.sample import finding, health

HOSTILE = "<script>alert(1)</script>]]>&\"'\x00\x1b[31m\ufffe\ud800"
SLOW = finding("n1", "fail", "GPU 3: its link runs as PCIe 5 x4, card and slot can do x16", rule="gpu-pcie")
CLUSTERS = {
    "a virtual machine": lambda: sample.cluster(sample.plain()),
    "eight GPUs": lambda: sample.cluster(sample.eight_gpus()),
    "nothing known": lambda: sample.cluster(sample.Node(name="n0")),
    "no node": lambda: sample.cluster(),
    "two nodes": sample.two,
    "three unlike": lambda: sample.cluster(sample.mesh(), sample.plain(), sample.plain("vm2")),
    "four": lambda: sample.cluster(
        *(sample.plain(f"n{n}") for n in range(4)), pairs=synthetic.all_pairs(4, {2: 0.1}), curves=()
    ),
    "sixty-four": lambda: sample.many(64),
    "a thousand": lambda: sample.many(1000),
    "long names": lambda: sample.cluster(
        *(dataclasses.replace(sample.plain(), name=f"{'long-name-of-a-node' * 4}-{n}") for n in range(6))
    ),
    **{kind: lambda kind=kind: sample.cluster(probe({}, machine(kind), kind)) for kind in KINDS},
}


def drawn(cluster, judged=None):
    return ElementTree.fromstring(picture(cluster, judged))


def words(root):
    shown = [element for element in root.iter() if element.tag.endswith("}text")]
    return [(element.text or "") + "".join(inner.tail or "" for inner in element) for element in shown]


def low_links(root):
    """What is said of each link that is red; the legend's says nothing."""
    return [element[0].text for element in root.iter() if element.get("class") == "c-low" and len(element)]


def reds(root):
    """What is painted as too slow or failed."""
    looks = {"c-low", "c-flow", "c-bad", "c-fail"}
    return [element for element in root.iter() if looks & set(element.get("class", "").split())]


def clashes(placed):
    """Words that touch others."""
    found, placed = [], sorted(placed, key=lambda one: one[1].top)
    for index, (text, box) in enumerate(placed):
        for other, there in placed[index + 1 :]:
            if there.top >= box.bottom:
                break
            found += [(text, other)] if box.overlaps(there) else []
    return found


@pytest.mark.parametrize("name", CLUSTERS)
def test_no_words_overlap_or_leave_the_picture(name):
    block = whole(CLUSTERS[name](), health(SLOW))
    placed = [(words.text, box) for words, box in every_word(block)]
    assert placed
    for text, box in placed:
        assert box.left >= 0 and box.top >= 0 and box.right <= block.width and box.bottom <= block.height, text
    assert clashes(placed) == []
    assert block.width <= 1540  # a window of 1600 pixels shows it whole


@pytest.mark.parametrize("name", CLUSTERS)
def test_it_is_xml_and_the_same_for_the_same_record(name):
    first = picture(CLUSTERS[name](), health(SLOW))
    assert first == picture(CLUSTERS[name](), health(SLOW))
    root = ElementTree.fromstring(first)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not {"script", "image", "foreignObject", "use"} & {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "http" not in first.replace("http://www.w3.org/2000/svg", "") and "url(" not in first


def test_all_that_a_record_names_is_in_it():
    cluster = sample.two()
    root = drawn(cluster)
    names = [element.get("data-name") for element in root.iter() if element.get("data-name")]
    for node in cluster.nodes:
        assert node.name in names
    assert [name for name in names if name.startswith("GPU ")] == 2 * [f"GPU {index}" for index in range(8)]
    assert names.count("NUMA 0") == names.count("NUMA 1") == 2
    for port in ["ens1", *(f"mlx5_{index}" for index in range(8))]:
        assert names.count(port) == 2
    shown = " ".join(words(root))
    assert "docker0 (bridge)" in shown and "NVSwitch: 18 NVLinks of each GPU, GPU 5: 17" in shown
    tips = " ".join(element.text or "" for element in root.iter() if element.tag.endswith("}title"))
    for gpu in cluster.nodes[0].gpus.devices:
        assert gpu.uuid.value in tips and gpu.serial.value in tips
    assert "[composed]" in tips  # where a fact was read
    assert "retired pages pending: not known (unsupported: Not Supported)" in tips


def test_the_port_that_failed_has_its_whole_name():
    cluster = sample.cluster(synthetic.with_rdma(2, state=synthetic.ok("DOWN"))(sample.eight_gpus()))
    judged = health(finding("n0", "fail", "RDMA port mlx5_2/1 is DOWN", rule="rdma-down"))
    root = drawn(cluster, judged)
    assert {f"mlx5_{index}" for index in range(8)} <= set(words(root))


def test_a_node_of_which_little_is_known_says_so():
    node = dataclasses.replace(sample.plain(), numa=())
    shown = words(drawn(sample.cluster(node)))
    assert "Processors (NUMA nodes not told)" in shown and "2 cores, 4 CPUs" in shown
    assert "NUMA node not told" not in shown
    shown = words(drawn(sample.cluster(sample.plain())))
    assert "NUMA node" in shown and "not told" in shown  # of the port, in two lines


def test_a_gpu_that_does_not_answer_is_drawn():
    shown = words(drawn(sample.cluster(probe({}, machine("no-driver"), "n0"))))
    assert shown.count("no answer") == 4 and "4 GPUs on the bus, none answers" in shown


def test_names_of_machines_stay_words():
    hostile = synthetic.with_gpu(0, name=synthetic.ok(HOSTILE))(sample.eight_gpus())
    hostile = dataclasses.replace(hostile, name=HOSTILE, problems=(HOSTILE,))
    for count in (1, 2, 8):
        nodes = [hostile, *(dataclasses.replace(sample.plain(), name=f"n{n}") for n in range(count - 1))]
        found = finding(HOSTILE, "fail", HOSTILE, HOSTILE)
        cluster = sample.cluster(*nodes, missing=(sample.Missing(name=HOSTILE, why=HOSTILE),), problems=(HOSTILE,))
        root = drawn(cluster, health(found))
        assert not any(element.tag.endswith("script") for element in root.iter())
        assert any("<script>alert(1)</script>" in text for text in root.itertext())


def test_a_link_is_red_for_what_is_said_of_links_only():
    unmeasured = sample.cluster(synthetic.h100_node(1))
    hot = health(finding("n1", "warning", "GPU 3 (GPU-1, 0000:61:00.0): 84 °C", rule="gpu-hot"))
    assert low_links(drawn(unmeasured, hot)) == []
    nvlink = health(finding("n1", "warning", "GPU 3 has 17 active NVLinks", rule="gpu-nvlink"))
    (link,) = low_links(drawn(unmeasured, nvlink))
    assert "NVLinks are up" in link


def test_pairs_are_red_as_health_says():
    nodes = [sample.plain(f"n{n}") for n in range(3)]
    cluster = sample.cluster(*nodes, pairs=synthetic.all_pairs(3))
    assert low_links(drawn(cluster, health())) == []
    between = dataclasses.replace(finding("", "warning", "slow", rule="network-slow"), between=("n0", "n2"))
    (link,) = low_links(drawn(cluster, health(between)))
    assert link.startswith("n0 – n2")
    (first, second) = low_links(drawn(cluster, health(finding("n1", "fail", "slow", rule="network-slow"))))
    assert "n1" in first and "n1" in second


def test_red_is_only_what_a_finding_or_a_share_says():
    well = sample.cluster(sample.eight_gpus(0), sample.eight_gpus(1), pairs=synthetic.all_pairs(2))
    assert reds(drawn(well, health())) == []
    (slow,) = low_links(drawn(sample.two()))
    assert "GPU 3" in slow and "21 % of 63 GB/s" in slow
    unmeasured = sample.cluster(synthetic.h100_node(1))
    assert reds(drawn(unmeasured)) == []
    (named,) = low_links(drawn(unmeasured, health(SLOW)))
    assert "its link runs as PCIe 5 x4" in named
    (port,) = low_links(drawn(unmeasured, health(finding("n1", "fail", "RDMA port mlx5_2/1 is DOWN"))))
    assert "mlx5_2/1 is DOWN" in port


def test_what_cannot_reach_its_limit_is_not_held_against_it():
    node = dataclasses.replace(sample.plain(), rates=(synthetic.rate("matrix_product", "cpu", "float32", 1e9, 100e9),))
    assert reds(drawn(sample.cluster(node))) == []


@pytest.mark.parametrize(
    "names, text, found",
    [
        (["GPU 3"], "GPU 3 is hot", True),
        (["GPU 3"], "GPU 31 is hot", False),
        (["GPU 3"], "gpu 3: hot", True),
        (["mlx5_1"], "mlx5_10 is down", False),
        (["mlx5_1"], "mlx5_1/1 is down", True),
        (["eth0"], "veth0 is down", False),
        (["0000:1b:00.0"], "fallen off the bus: 0000:1b:00.0", True),
        (["", "?"], "nothing", False),
        ([""], "nothing", False),
    ],
)
def test_a_finding_names_a_thing(names, text, found):
    judgement = Judgements(health(finding("n0", "fail", text))).of("n0")
    assert (judgement.on(names) is not None) == found


def test_sixty_four_are_grouped_and_the_odd_ones_told():
    cluster = sample.many(64)
    assert summary(kinds(cluster.nodes)) == [
        "62 nodes like this, 2 that differ:",
        "B  n17: GPU 3 PCIe width max 4 instead of 16",
        "C  n40: memory total 1,007 GiB instead of 1.97 TiB",
    ]
    root = drawn(cluster, judge(cluster))
    shown = words(root)
    assert {"A: 62 nodes like this", "B: n17", "C: n40"} <= set(shown)
    assert {f"n{number}" for number in range(65)} <= set(shown)  # a square each, and one that gave no answer
    assert "n64 gave no answer: no answer within 20 s" in shown
    assert "1 fail" in shown and "1 no answer" in shown and "63 pass" in shown
    assert "n[0-16,18-39,41-63]" in shown
    assert any(text.startswith("GPU 3 is slower than its peers") for text in shown)
    assert any(text.startswith("n17 – ") or " – n17: " in text for text in shown)  # its pairs are the slowest


def test_alike_nodes_are_one_drawing():
    shown = words(drawn(sample.cluster(*(sample.plain(f"n{n}") for n in range(9)))))
    assert "All 9 nodes are alike" in shown
    assert sum(text.startswith("A: ") for text in shown) == 1 and not any(text.startswith("B: ") for text in shown)


def test_many_kinds_are_cut_and_it_is_said():
    nodes = [
        dataclasses.replace(sample.plain(f"n{n}"), memory=sample.Memory(total_bytes=synthetic.ok((n + 1) << 30)))
        for n in range(40)
    ]
    shown = words(drawn(sample.cluster(*nodes)))
    assert any("more kinds with" in text for text in shown)
    assert sum(bool(re.match("[A-Z]: ", text)) for text in shown) == 6


def test_a_thousand_nodes_make_a_file_that_a_browser_opens():
    cluster = sample.many(1000)
    written = picture(cluster, health(SLOW))
    assert len(written) < 1_000_000
    root = ElementTree.fromstring(written)
    assert float(root.get("height")) < 4000
    tips = [element.text for element in root.iter() if element.tag.endswith("}title")]
    assert sum(bool(re.match(r"n\d+: ", tip)) for tip in tips) == 1001


def test_verdicts_differ_in_shape_and_words():
    judged = health(*(finding(f"n{index}", level, "it", "so") for index, level in enumerate(("fail", "warning"))))
    shown = words(drawn(sample.cluster(sample.plain("n0"), sample.plain("n1"), sample.plain("n2")), judged))
    assert {"fail", "warning", "pass", "1 fail", "1 warning", "1 pass"} <= set(shown)


def test_pairs_of_many_share_cells_and_the_slowest_is_seen():
    names = [f"n{number}" for number in range(144)]
    pair = dataclasses.replace(synthetic.all_pairs(2)[0], a="n0", b="n143", bytes_per_second=1e9)
    block = matrix(names, [pair], Judgements(None))
    shown = [text.text for text, _ in every_word(block)]
    assert any("2 nodes a cell" in text for text in shown) and any("n0 – n143" in text for text in shown)


def test_a_curve_of_one_size_and_one_without_a_limit():
    whole_curve = synthetic.curve(10e9, limit=None)
    for curve in (whole_curve, dataclasses.replace(whole_curve, sizes=whole_curve.sizes[:1])):
        written = picture(sample.cluster(sample.plain(), curves=(curve,)), None)
        assert "nan" not in written and "inf" not in written.replace("InfiniBand", "")
    empty = dataclasses.replace(whole_curve, sizes=())
    assert "All-reduce, 16 ranks on 2 nodes" in words(drawn(sample.cluster(sample.plain(), curves=(empty,))))


# ---- arithmetic -----------------------------------------------------------------------------------------------------


def test_an_axis_in_powers():
    axis = Axis(1.0, 100.0, 0.0, 200.0)
    assert [axis.at(value) for value in (1, 10, 100)] == pytest.approx([0, 100, 200])
    assert Axis(5.0, 5.0, 0.0, 10.0).at(5.0) == 0


@pytest.mark.parametrize(
    "names, most, told",
    [
        (["lo", "br0"], 4, "lo, br0"),
        ([f"veth{n}" for n in range(62)], 4, "veth0, veth1, veth2 and 59 more"),
        ([], 4, ""),
    ],
)
def test_few_names_are_listed(names, most, told):
    assert listed(names, most) == told


@pytest.mark.parametrize("text", ["", "short", "a word that is much too long to fit", "汉字" * 20, "W" * 50])
def test_words_are_cut_to_the_room_there_is(text):
    assert widths.width_of(widths.fitted(text, 10, 100), 10) <= 100
    lines = widths.wrapped(text, 10, 100, 2)
    assert len(lines) <= 2 and all(widths.width_of(line, 10) <= 100 for line in lines)


def test_blocks_flow_into_rows():
    blocks = [Block(40, 10, ()), Block(40, 20, ()), Block(40, 5, ())]
    rows = flowed(blocks, 10, 100)
    assert (rows.width, rows.height) == (90, 20 + 10 + 5)


def contrast(a, b):
    """WCAG 2.1, "contrast ratio"."""

    def luminance(colour):
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [1, 2], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "card", "numa", "gpu", "port", "switch", "odd"])
@pytest.mark.parametrize("ink", ["ink", "quiet", "bad", "care"])
def test_words_can_be_read_on_what_is_behind_them(ink, ground, scheme):
    assert contrast(PAINT[ink][scheme], PAINT[ground][scheme].split()[0]) >= 4.5


def test_every_size_of_words_has_its_class():
    for name in CLUSTERS:
        for text, _ in every_word(whole(CLUSTERS[name](), None)):
            assert colours.size_class(text.size)


def test_unknown_facts_give_their_reason_in_the_tip():
    node = synthetic.with_gpu(0, temperature_celsius=unknown("denied", "not as this user"))(synthetic.h100_node(0))
    assert "temperature: not known (denied: not as this user)" in picture(sample.cluster(node), None)
