import json
import subprocess
import sys

import pytest

from cluster.topology.cuda import Device, chosen, visible
from cluster.topology.fact import Unread

FOUR = [Device(f"GPU-{letter}000", "A100", f"0000:{bus}:00.0") for letter, bus in zip("abcd", "1234", strict=True)]
A, B, C, D = (device.uuid for device in FOUR)
UNLIKE = [Device("GPU-slow", "T4", "0000:3b:00.0"), Device("GPU-fast", "A100", "0000:af:00.0")]
CUT = Device("GPU-e000", "A100", "0000:05:00.0", ("MIG-1111", "MIG-2222"), mig=True)


@pytest.mark.parametrize(
    "wish, expected",
    [
        (None, (A, B, C, D)),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),  # what Slurm sets for a job without GPUs
        ("2,0", (C, A)),
        (" 1 ", (B,)),
        ("0,2,-1,3", (A, C)),  # CUDA stops at the first entry that is not there
        ("0,9,1", (A,)),
        ("1x,2", (B, C)),  # read as C reads numbers
        ("0,1,0", ()),  # what comes twice hides all
        ("GPU-c,GPU-a000", (C, A)),  # the beginning of a UUID is enough
        ("GPU-c,GPU-z,GPU-a", (C,)),
        ("GPU-", ()),  # of which one?
        ("GPU-c,1", (C,)),  # names and numbers do not mix
        ("0,GPU-c", (A,)),
    ],
)
def test_visible_devices(wish, expected):
    assert chosen(FOUR, wish) == expected
    assert visible(FOUR, wish, None) == expected


def test_this_is_how_torch_reads_them():
    """Lists of numbers, which torch reads without a GPU too."""
    wishes = ["2,0", "0,2,-1,3", "1x,2", "0,1,0", "", "NoDevFiles"]
    code = "import json, os, sys, torch\n"
    code += "def read(wish): os.environ['CUDA_VISIBLE_DEVICES'] = wish; return torch.cuda._parse_visible_devices()\n"
    code += "print(json.dumps([read(wish) for wish in sys.argv[1:]]))"
    done = subprocess.run([sys.executable, "-c", code, *wishes], capture_output=True, text=True, timeout=100)
    for wish, numbers in zip(wishes, json.loads(done.stdout), strict=True):
        assert tuple(FOUR[number].uuid for number in numbers) == chosen(FOUR, wish), wish


def test_cuda_counts_by_bus_id_not_as_listed():
    assert visible(FOUR[::-1], "0", None) == (A,)
    far = Device("GPU-far", "A100", "10000:01:00.0")
    assert visible([far, *FOUR], None, "PCI_BUS_ID")[-1] == "GPU-far"


@pytest.mark.parametrize("order, wish", [(None, None), ("FASTEST_FIRST", "0"), (None, "1,0")])
def test_the_order_of_unlike_gpus_is_not_guessed(order, wish):
    with pytest.raises(Unread, match="export CUDA_DEVICE_ORDER=PCI_BUS_ID") as caught:
        visible(UNLIKE, wish, order)
    assert caught.value.status == "unsupported"


@pytest.mark.parametrize(
    "order, wish, expected",
    [
        ("PCI_BUS_ID", None, ("GPU-slow", "GPU-fast")),
        ("PCI_BUS_ID", "1", ("GPU-fast",)),
        (None, "GPU-fast,GPU-slow", ("GPU-fast", "GPU-slow")),  # by name there is no order to guess
        (None, "", ()),
    ],
)
def test_unlike_gpus_that_are_told_apart(order, wish, expected):
    assert visible(UNLIKE, wish, order) == expected


def test_slices():
    assert visible([CUT], "MIG-2222", None) == ("MIG-2222",)
    assert visible([CUT], "MIG-2222,MIG-1111", None) == ("MIG-2222",)  # a process sees one
    assert visible([CUT], "MIG-3333", None) == ()
    for wish in (None, "0", "GPU-e000"):
        with pytest.raises(Unread, match="MIG mode"):
            visible([CUT], wish, None)
    assert visible([CUT, *FOUR], "GPU-a", None) == (A,)
