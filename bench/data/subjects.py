"""The loaders that are compared, each in the form that its own documentation recommends.

A subject writes the documents in its own format once (`write`), then gives batches (`batches`): tokens, int64 [B, T],
padded with 0, and the lengths [B]. In the workload `padded` a batch holds documents of up to 16,384 padded tokens,
where the loader knows such a budget; elsewhere a number of documents that comes to as much. In `fixed` it holds 8
sequences of 2,048 tokens.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.made import SEQUENCE, Documents
from cluster.data.order import Order, OrderSettings, StepSize
from cluster.data.sequences import Sequences
from cluster.data.shards import ShardReader
from cluster.loader import StepLoader

BUDGET = 16_384
SEQUENCES = 8
LIMIT_BATCHES = 6_000
DOCUMENTS = 14
"""Documents of chance lengths that pad to about `BUDGET` tokens."""
Batches = Iterator[tuple[Tensor, Tensor]]


def settings(step_tokens: int = 16 * BUDGET) -> OrderSettings:
    """The plan that muster is measured with."""
    return OrderSettings(
        seed=1,
        step=StepSize(step_tokens, "tokens"),
        micro_batch_tokens=min(BUDGET, step_tokens),
        window_documents=65_536,
        max_ranks=16,
        padded=True,
    )


def reader_of(folder: Path, workload: str) -> ShardReader | Sequences:
    reader = ShardReader(folder / "muster", "train")
    return Sequences(reader, SEQUENCE) if workload == "fixed" else reader


class Muster:
    """cluster.loader.StepLoader, `workers` its threads."""

    package = ""

    def write(self, folder: Path) -> None:
        """The shards are made with the documents."""

    def batches(self, folder: Path, workload: str, workers: int) -> Batches:
        reader = reader_of(folder, workload)
        order = Order(settings(), reader.lengths)
        with StepLoader(
            reader,
            order,
            order.at(0),
            1 << 40,
            rank=0,
            ranks=1,
            fuse_tokens=0,
            device=torch.device("cpu"),
            weigh=len,
            threads=workers,
        ) as loader:
            for step in loader:
                for batch in step.batches:
                    yield batch.tokens, batch.lengths


class Limit:
    """What no loader can beat here: numpy's bare gather of the very batches that muster plans, planned beforehand. The
    tokens stay 16 bits wide, one document after the other, without padding."""

    package = ""

    def write(self, folder: Path) -> None:
        """It reads the raw array."""

    def batches(self, folder: Path, workload: str, workers: int) -> Batches:
        documents = Documents.open(folder)
        tokens = np.array(documents.tokens)
        reader = reader_of(folder, workload)
        starts = np.arange(len(reader.lengths)) * SEQUENCE if workload == "fixed" else documents.starts
        lengths = np.asarray(reader.lengths[:]).astype(np.int64)
        planned: list[np.ndarray] = []
        steps = Order(settings(), reader.lengths).steps()
        while len(planned) < LIMIT_BATCHES:
            planned += next(steps).micro_batches
        while True:
            for ids in planned:
                some = lengths[ids]
                ends = np.cumsum(some)
                places = np.repeat(starts[ids] - (ends - some), some)
                places += np.arange(places.size)
                yield torch.from_numpy(tokens.take(places).view(np.int16)), torch.from_numpy(some)


class TorchMemoryMap:
    """torch.utils.data.DataLoader over a memory map, with a sampler that groups documents by length."""

    package = ""

    def write(self, folder: Path) -> None:
        """It reads the raw array."""

    def batches(self, folder: Path, workload: str, workers: int) -> Batches:
        dataset: Any = Raw(folder, workload)
        loader: Any = torch.utils.data.DataLoader(
            dataset,
            batch_sampler=grouped(dataset.lengths, workload),
            collate_fn=padded,
            num_workers=workers,
        )
        while True:
            yield from loader


class Raw:
    """A map-style dataset over the memory map."""

    def __init__(self, folder: Path, workload: str) -> None:
        documents = Documents.open(folder)
        self.tokens = documents.tokens
        if workload == "fixed":
            self.starts = np.arange(0, len(self.tokens) - SEQUENCE + 1, SEQUENCE)
            self.lengths = np.full(len(self.starts), SEQUENCE, dtype=np.int64)
        else:
            self.starts, self.lengths = documents.starts, documents.lengths.astype(np.int64)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> Tensor:
        start = self.starts[i]
        return torch.from_numpy(self.tokens[start : start + self.lengths[i]].astype(np.int64))


def grouped(lengths: np.ndarray, workload: str) -> list[list[int]]:
    """Chance order, sorted by length within 65,536, cut to the budget, in chance order."""
    rng = np.random.default_rng(1)
    ids = rng.permutation(len(lengths))
    if workload == "fixed":
        return [part.tolist() for part in np.split(ids, range(SEQUENCES, len(ids), SEQUENCES))]
    batches: list[list[int]] = []
    for first in range(0, len(ids), 65_536):
        window = ids[first : first + 65_536]
        window = window[np.argsort(-lengths[window], kind="stable")]
        start = 0
        while start < len(window):
            rows = max(BUDGET // int(lengths[window[start]]), 1)
            batches.append(window[start : start + rows].tolist())
            start += rows
    return [batches[i] for i in rng.permutation(len(batches))]


def padded(rows: list[Any]) -> tuple[Tensor, Tensor]:
    """A batch of rows of tokens."""
    tensors = [torch.as_tensor(np.asarray(row).astype(np.int64, copy=False)) for row in rows]
    lengths = torch.tensor([len(one) for one in tensors])
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True), lengths


def rows_of(folder: Path, workload: str) -> Iterator[np.ndarray]:
    raw = Raw(folder, workload)
    for start, length in zip(raw.starts.tolist(), raw.lengths.tolist(), strict=True):
        yield np.array(raw.tokens[start : start + length])


def per_batch(workload: str) -> int:
    return SEQUENCES if workload == "fixed" else DOCUMENTS


class HfDatasets:
    """datasets.Dataset `with_format("numpy")` under a DataLoader: huggingface.co/docs/datasets/use_with_pytorch."""

    package = "datasets==5.2.0"

    def write(self, folder: Path) -> None:
        import datasets

        for workload in WORKLOADS:

            def rows(workload: str = workload) -> Iterator[dict[str, Any]]:
                return ({"tokens": row} for row in rows_of(folder, workload))

            features = datasets.Features({"tokens": datasets.Sequence(datasets.Value("uint16"))})
            made = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(folder / "datasets-cache"))
            made.save_to_disk(str(folder / "datasets" / workload))

    def batches(self, folder: Path, workload: str, workers: int) -> Batches:
        import datasets

        dataset: Any = datasets.load_from_disk(str(folder / "datasets" / workload)).with_format("numpy")
        lengths = Raw(folder, workload).lengths
        loader: Any = torch.utils.data.DataLoader(
            dataset,
            batch_sampler=grouped(lengths, workload),
            collate_fn=lambda rows: padded([row["tokens"] for row in rows]),
            num_workers=workers,
        )
        while True:
            yield from loader


class MosaicStreaming:
    """streaming.StreamingDataset over MDS shards: docs.mosaicml.com/projects/streaming."""

    package = "mosaicml-streaming==0.13.0 numpy==2.1.3"  # it refuses numpy from 2.2 on

    def write(self, folder: Path) -> None:
        from streaming import MDSWriter

        for workload in WORKLOADS:
            with MDSWriter(out=str(folder / "mds" / workload), columns={"tokens": "ndarray:uint16"}) as writer:
                for row in rows_of(folder, workload):
                    writer.write({"tokens": row})

    def batches(self, folder: Path, workload: str, workers: int) -> Batches:
        from streaming import StreamingDataset

        size = per_batch(workload)
        dataset = StreamingDataset(local=str(folder / "mds" / workload), shuffle=True, batch_size=size)
        loader: Any = torch.utils.data.DataLoader(
            dataset,
            batch_size=size,
            collate_fn=lambda rows: padded([row["tokens"] for row in rows]),
            num_workers=workers,
        )
        while True:
            yield from loader


class WebDataset:
    """webdataset.WebDataset over tar shards, shuffled in a buffer of 1,000: github.com/webdataset/webdataset."""

    package = "webdataset==1.0.2"

    def write(self, folder: Path) -> None:
        import webdataset

        for workload in WORKLOADS:
            (folder / "tar" / workload).mkdir(parents=True, exist_ok=True)
            with webdataset.ShardWriter(str(folder / "tar" / workload / "%04d.tar"), maxcount=4_000) as writer:
                for number, row in enumerate(rows_of(folder, workload)):
                    writer.write({"__key__": f"{number:09}", "npy": row})

    def batches(self, folder: Path, workload: str, workers: int) -> Batches:
        import webdataset

        shards = sorted(str(path) for path in (folder / "tar" / workload).glob("*.tar"))
        dataset = (
            webdataset.WebDataset(shards, shardshuffle=len(shards))
            .shuffle(1000)
            .decode()
            .to_tuple("npy")
            .batched(per_batch(workload), collation_fn=lambda rows: padded([row for (row,) in rows]))
        )
        loader: Any = webdataset.WebLoader(dataset, batch_size=None, num_workers=workers)
        while True:
            yield from loader


class LitData:
    """litdata.StreamingDataset over optimized chunks: github.com/Lightning-AI/litData."""

    package = "litdata==0.2.76"

    def write(self, folder: Path) -> None:
        import litdata

        for workload in WORKLOADS:
            raw = Raw(folder, workload)
            litdata.optimize(
                fn=raw.__getitem__,
                inputs=list(range(len(raw))),
                output_dir=str(folder / "litdata" / workload),
                chunk_bytes="64MB",
                num_workers=1,
            )

    def batches(self, folder: Path, workload: str, workers: int) -> Batches:
        import litdata

        dataset = litdata.StreamingDataset(str(folder / "litdata" / workload), shuffle=True)
        loader: Any = litdata.StreamingDataLoader(
            dataset, batch_size=per_batch(workload), collate_fn=padded, num_workers=workers
        )
        while True:
            yield from loader


class Grain:
    """grain.MapDataset over ArrayRecord: google-grain.readthedocs.io. `workers` are processes."""

    package = "grain==0.2.18 array-record==0.8.6"

    def write(self, folder: Path) -> None:
        from array_record.python.array_record_module import ArrayRecordWriter

        (folder / "arrayrecord").mkdir(exist_ok=True)
        for workload in WORKLOADS:
            writer = ArrayRecordWriter(str(folder / "arrayrecord" / workload), "group_size:1")
            for row in rows_of(folder, workload):
                writer.write(row.tobytes())
            writer.close()

    def batches(self, folder: Path, workload: str, workers: int) -> Batches:
        import grain

        source = grain.sources.ArrayRecordDataSource(str(folder / "arrayrecord" / workload))
        dataset = (
            grain.MapDataset.source(source)
            .shuffle(seed=1)
            .map(lambda record: np.frombuffer(record, dtype=np.uint16))
            .repeat()
            .batch(per_batch(workload), batch_fn=padded)
        )
        reading: Any = dataset.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=64))
        if workers:
            reading = reading.mp_prefetch(grain.multiprocessing.MultiprocessingOptions(num_workers=workers))
        yield from reading


WORKLOADS = ("padded", "fixed")
SUBJECTS: dict[str, Callable[[], Any]] = {
    "muster": Muster,
    "limit": Limit,
    "torch": TorchMemoryMap,
    "datasets": HfDatasets,
    "streaming": MosaicStreaming,
    "webdataset": WebDataset,
    "litdata": LitData,
    "grain": Grain,
}
