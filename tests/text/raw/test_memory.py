"""Files far larger than what reading them may take of the memory."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 100_000
BYTES_PER_TEXT = 2000
MOST_MIB = 80
"""One block (16 MiB of text, some of it twice: as lines and as rows) and buffers; the files have about 200 MiB."""

READ = """
import sys
from pathlib import Path
from cluster.config.schema import Data
from cluster.text.raw.read import read_rows

def peak_mib():  # of this program alone: ru_maxrss would know what its parent held before it
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

if sys.argv[1].endswith(("parquet", "arrow")):
    import pyarrow.parquet
before = peak_mib()
rows = sum(1 for _ in read_rows(Path(sys.argv[1]), Data(train="unused"), "classify"))
print(rows, peak_mib() - before)
"""


def text(number):
    return f"{number:010d} " * (BYTES_PER_TEXT // 11)


def objects():
    for number in range(ROWS):
        yield json.dumps({"text": text(number), "label": number % 2})


def write_lines(path):
    with open(path, "w") as file:
        for line in objects():
            file.write(line + "\n")


def write_array(path):
    with open(path, "w") as file:
        file.write("[")
        for number, element in enumerate(objects()):
            file.write((",\n" if number else "") + element)
        file.write("]")


def table():
    return pa.table(
        {"text": pa.array(map(text, range(ROWS)), pa.large_string()), "label": [n % 2 for n in range(ROWS)]}
    )


def write_parquet(path):
    # one row group, uncompressed, no dictionary: the least kind of file to somebody who wants little of it at a time
    pq.write_table(table(), path, row_group_size=ROWS, compression="none", use_dictionary=False)


def write_arrow(path):
    whole = table()
    with pa.ipc.new_stream(path, whole.schema) as stream:
        stream.write_table(whole, max_chunksize=1000)  # as `datasets` does


@pytest.mark.parametrize(
    "name, write",
    [("a.jsonl", write_lines), ("a.json", write_array), ("a.parquet", write_parquet), ("a.arrow", write_arrow)],
)
def test_memory_is_bounded(tmp_path, name, write):
    path = tmp_path / name
    try:
        write(path)
        assert path.stat().st_size > 190e6
        done = subprocess.run([sys.executable, "-c", READ, str(path)], check=True, capture_output=True, text=True)
    finally:
        path.unlink(missing_ok=True)
    rows, grown_mib = done.stdout.split()
    assert int(rows) == ROWS
    assert float(grown_mib) < MOST_MIB, name
