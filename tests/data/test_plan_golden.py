"""The plan itself, pinned: a run that began with one version of muster goes on with another in the very same order."""

import hashlib
import itertools
import os
from dataclasses import replace

import numpy as np
import pytest

from cluster.data.order import Order, OrderSettings, StepSize

SOAK = bool(os.environ.get("MUSTER_SOAK"))
SETTINGS = OrderSettings(
    seed=2026,
    step=StepSize(64, "examples"),
    micro_batch_tokens=4096,
    window_documents=16_384,
    max_ranks=16,
    padded=True,
)
# Small steps (the window is cut into steps) and large ones (it is cut into micro-batches), each counted both ways.
# 100,000 steps pass over the documents 16 to 128 times. A new hash here asks for a new PLAN_VERSION.
PINNED = {
    10_000: {
        "64 examples, padded": "afc7c1841950f37d262fb79a60df0f870aa182fc93e9c53cd5f86afda5210e96",
        "64 examples, bag": "8085dd3c8bd992605de65417341f62110bc2ca89bce933dc859ae44d59088e55",
        "256 examples, padded": "a519269d9c2402fdc9d2c2250ca57cbe4b6a1c635ff495a009ea66b1e71842b9",
        "16384 tokens, padded": "69eb70144ff633fb6a69742c71a5cb507f5a4635f4043de18356b801c718632b",
        "16384 tokens, bag": "8353468c6764e4ca89e399365d2b738093bdcb850170e1ac64e398975d707ea8",
        "64 examples, bag, block": "a1849d2d772aa567bb1b3841b8f9497f301199f7e96f479246b26844b1ceeab8",
        "16384 tokens, padded, block": "232c014cfb95c5ddc2d7dffe036e92d3a5ba793e479f71064483bf4c00a0c423",
        "131072 tokens, padded": "12393870ae14ff355b4adca3cdcf6347a9a4a3e0c0f5926e2c71271c6e09f770",
    },
    100_000: {
        "64 examples, padded": "605e65e9d17756387924958bc3897076fad4f522ea3ae90f5564574a2e88f72a",
        "64 examples, bag": "1304ac8d72a252df6b4ac9c848addfef3d7367db3cdb9ab375b11a7ba3abeee5",
        "256 examples, padded": "fcb5241efdd8c9c1e192e12198dbc64b52e3e0f4735dc83261abc17e1111509e",
        "16384 tokens, padded": "e095c73f25e2bd23d418096ed10cac16452a51be317134b155fe5bf5c8e4b633",
        "16384 tokens, bag": "4ca6c368f142e624efc8e77390b3d97da89ee3df9f6582bc46d6b7d3198f2934",
        "64 examples, bag, block": "5894583df4709e449a712c64ce65e83128ef3e81d86ba0130b9abb0e0f90e4e5",
        "16384 tokens, padded, block": "555d572e14137d1a494bf6d830b3ff0fe84079ea1dc5ee8730ce236f8e520fde",
        "131072 tokens, padded": "90722090eea8a0c83a688a23b7d360785d4baa8a16e94a878e7023fb163d0a68",
    },
}  # fmt: skip


def lengths():
    """200,003 of them, from 1 to 2,039, most of them short; whole numbers alone, so that they are the same everywhere.

    The number of documents is prime: the last window and the last step of every epoch are short.
    """
    numbers = (np.arange(200_003, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return (1 + (numbers % 2048) * (numbers // 2048 % 2048) // 2048).astype(np.uint32)


def digest(settings, steps):
    """Of the ids in every micro-batch of the first steps, and of where each micro-batch ends."""
    found = hashlib.sha256()
    for planned in itertools.islice(Order(settings, lengths()).steps(), steps):
        for ids in planned.micro_batches:
            found.update(len(ids).to_bytes(8, "little") + ids.astype("<i8").tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("case", PINNED[10_000])
def test_the_first_steps_are_what_they_always_were(case):
    steps = 100_000 if SOAK else 10_000
    step, layout, *shuffle = case.split(", ")
    settings = replace(
        SETTINGS, step=StepSize.parse(step), padded=layout == "padded", shuffle="block" if shuffle else "full"
    )
    assert digest(settings, steps) == PINNED[steps][case]
