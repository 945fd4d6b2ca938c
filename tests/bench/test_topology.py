"""The benchmark of many nodes runs and says what it should; its figures are nobody's test."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_part_of_the_way_from_records_to_the_picture_is_timed() -> None:
    command = [sys.executable, "-m", "bench.topology", "--nodes", "20", "--rounds", "2"]
    told = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    seconds = json.loads(told.stdout)
    assert list(seconds) == ["merge", "write", "read", "judge", "group", "compare", "draw", "all"]
    assert all(taken > 0 for taken in seconds.values())
