"""Batches of a data set, epoch by epoch, shared by the ranks of the process group if there is one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Iterator as Iterates
from typing import Any

import torch

from cluster.compat.torchtext import epochs
from cluster.compat.torchtext.batch import Batch
from cluster.compat.torchtext.dataset import Dataset
from cluster.compat.torchtext.epochs import Settings, Step
from cluster.compat.torchtext.ranks import begin_together, common_seed, tell, world
from cluster.errors import DataError, InputError

Grows = Callable[[Any, int, Any], Any]
Key = Callable[[Any], Any]

_PLANNED = ("create_batches", "data", "init_epoch", "__iter__", "__len__")
_STATE = ("iterations", "iterations_this_epoch", "epoch", "seed", "ranks")


class Iterator:
    """Goes through `dataset` in batches of `batch_size` examples; each loop over it is an epoch.

    sort_key            what examples are sorted by, such as the length of a text; that of the data set by default
    device              of the tensors; the CPU by default
    batch_size_fn       called with an example, how many a batch holds with it and the size before, gives the size
                        with it, of which `batch_size` is the limit then
    train               may examples sit out an epoch on several ranks?
    repeat              go on with the next epoch, without end
    shuffle, sort       another order in each epoch; ascending by `sort_key`, whatever `shuffle` says. By default
                        `train`, and not `train`
    sort_within_batch   sort each batch, descending; `sort` by default

    With a process group every rank reads its own batches, as many as every other, of `batch_size` examples each. To
    train, fewer examples than there are ranks sit an epoch out, so that all ranks' batches of a step hold equally many.
    Otherwise every example is read once, and the last batches may differ by one. The order depends on
    `torch.initial_seed()` of the first rank and on the epoch alone. Making an iterator is a collective, and so is each
    beginning of a shuffled epoch.

    Raises InputError, DataError; PlanError where a launcher has started several ranks that are no process group.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        sort_key: Key | None = None,
        device: Any = None,
        batch_size_fn: Grows | None = None,
        train: bool = True,
        repeat: bool = False,
        shuffle: bool | None = None,
        sort: bool | None = None,
        sort_within_batch: bool | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size must be a whole number of 1 or more, but is {batch_size!r}.")
        if not len(dataset):
            raise DataError("the data set holds no examples: look at its file, and at filter_pred if there is one.")
        self.dataset, self.batch_size, self.batch_size_fn = dataset, batch_size, batch_size_fn
        self.train, self.repeat = train, repeat
        self.shuffle = train if shuffle is None else shuffle
        self.sort = not train if sort is None else sort
        self.sort_within_batch = self.sort if sort_within_batch is None else sort_within_batch
        self.sort_key = dataset.sort_key if sort_key is None else sort_key
        if self.sort_key is None and (self.sort or self.sort_within_batch):
            wanted = "sort" if self.sort else "sort_within_batch"
            raise InputError(
                f"{wanted} needs sort_key, such as sort_key=lambda example: len(example.text). Without train, sort is "
                "True by default: sort=False keeps the order of the data."
            )
        self.device = _device(device)
        self.iterations = 0
        """Batches that this rank was given: of this epoch, with `repeat` of all."""
        self._world = world()
        vocabularies = [field.vocab.itos for field in dataset.fields.values() if hasattr(field, "vocab")]
        self._seed = common_seed(self._world, list(dataset.examples), vocabularies)
        self._epoch, self._given, self._restored = -1, 0, False
        self._planned: tuple[Any, list[Step]] | None = None
        if self._world.size > 1:
            self._steps(0)  # what cannot be shared is refused now, not after an epoch of training
        if out := epochs.sitting_out(len(dataset), self._settings()):
            which = "others each time" if self.shuffle else "always the last"
            tell(
                f"{len(dataset):,} examples cannot be shared evenly by {self._world.size} ranks: in each epoch of "
                f"training {out} will not be read ({which})."
            )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if own := [name for name in _PLANNED if name in vars(cls)]:
            raise InputError(
                f"{cls.__name__} has a {own[0]} of its own, but batches are planned for all ranks at once, which no "
                "class changes. BucketIterator sorts pools of examples by length; batch_size_fn counts tokens."
            )

    @classmethod
    def splits(
        cls, datasets: Sequence[Dataset], batch_sizes: Sequence[int] | None = None, **kwargs: Any
    ) -> tuple["Iterator", ...]:
        """An iterator for each data set, the first to train, with `batch_size` or one of `batch_sizes` for each."""
        if batch_sizes is None:
            if "batch_size" not in kwargs:
                raise InputError("splits() needs batch_size, or batch_sizes with one for each data set.")
            batch_sizes = [kwargs.pop("batch_size")] * len(datasets)
        if len(batch_sizes) != len(datasets):
            raise InputError(
                f"batch_sizes must be as many as the data sets ({len(datasets)}), but are {len(batch_sizes)}."
            )
        pairs = enumerate(zip(datasets, batch_sizes, strict=True))
        return tuple(cls(one, batch_size=size, train=number == 0, **kwargs) for number, (one, size) in pairs)

    @property
    def epoch(self) -> int:
        """Number of the epoch at hand, from 0."""
        return max(self._epoch, 0)

    def __len__(self) -> int:
        """Batches of each rank in the epoch at hand, or in the first; with `batch_size_fn` epochs may differ."""
        return len(self._steps(self.epoch))

    def __iter__(self) -> Iterates[Batch]:
        while True:
            self._begin()
            steps = self._steps(self._epoch)
            for number in range(self._given, len(steps)):
                self._given = number + 1
                self.iterations += 1
                yield self._batch(steps[number][self._world.rank])
            if not self.repeat:
                return

    def init_epoch(self) -> None:
        """Forgets a place in the middle of an epoch that was loaded. (A loop begins its epoch itself.)"""
        self._restored = False

    def state_dict(self) -> dict[str, int]:
        """Where this iterator is, for `load_state_dict`."""
        values = (self.iterations, self._given, self._epoch, self._seed, self._world.size)
        return dict(zip(_STATE, values, strict=True))

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """The next loop goes on behind the batch after which `state_dict` was taken. Raises InputError for the state of
        another number of ranks, or one that torchtext has saved."""
        if set(state_dict) != set(_STATE):
            raise InputError(f"an iterator's state holds {', '.join(_STATE)}, but this holds {', '.join(state_dict)}.")
        if state_dict["ranks"] != self._world.size:
            raise InputError(
                f"the state is of an iterator on {state_dict['ranks']} ranks, but there are {self._world.size}, whose "
                "batches are others. Start as many ranks, or begin with a new epoch."
            )
        self.iterations, self._given, self._epoch, self._seed, _ = (state_dict[name] for name in _STATE)
        self._restored = True

    def _begin(self) -> None:
        goes_on = self._restored and self._epoch >= 0 and self._given < len(self._steps(self._epoch))
        self._restored = False
        if not goes_on:
            self._epoch, self._given = self._epoch + 1, 0
        if not self.repeat:
            self.iterations = self._given
        if self._world.size > 1 and self.shuffle and not self.sort:
            begin_together(self._world, self._epoch, self._given)

    def _settings(self) -> Settings:
        return Settings(
            batch_size=self.batch_size,
            seed=self._seed,
            ranks=self._world.size,
            train=self.train,
            shuffle=self.shuffle,
            sort=self.sort,
            pooled=self._pools() and not self.sort,
        )

    def _pools(self) -> bool:
        return False

    def _steps(self, epoch: int) -> list[Step]:
        settings, size = self._settings(), len(self.dataset)
        asked = (epoch, settings, size, self.sort_key, self.batch_size_fn)
        if self._planned is None or self._planned[0] != asked:
            key = self.sort_key if settings.sort or settings.pooled else None
            keys = [] if key is None else [key(example) for example in self.dataset]
            self._planned = asked, epochs.steps_of_epoch(size, settings, epoch, keys, self._grows())
        return self._planned[1]

    def _grows(self) -> epochs.Grows | None:
        grows, examples = self.batch_size_fn, self.dataset.examples
        if grows is None:
            return None
        return lambda index, count, so_far: grows(examples[index], count, so_far)

    def _batch(self, indices: Iterable[int]) -> Batch:
        examples = [self.dataset[index] for index in indices]
        if self.sort_within_batch and self.sort_key is not None:
            examples.sort(key=self.sort_key, reverse=True)
        return Batch(examples, self.dataset, self.device)


class BucketIterator(Iterator):
    """Batches of examples of about one length: pools of 100 batches are sorted by `sort_key` and cut, and the batches
    shuffled. As `Iterator` without `sort_key`, and with neither `shuffle` nor `sort_within_batch`."""

    def _pools(self) -> bool:
        return self.sort_key is not None and (self.shuffle or self.sort_within_batch)


def batch(data: Iterable[Any], batch_size: int, batch_size_fn: Grows | None = None) -> Iterates[list[Any]]:
    """Lists of neighbours whose size, by `batch_size_fn` as in `Iterator`, is at most `batch_size`; one that alone is
    larger stands alone."""
    examples = list(data)
    grows: epochs.Grows | None = None
    if batch_size_fn is not None:
        size_with = batch_size_fn
        grows = lambda index, count, so_far: size_with(examples[index], count, so_far)  # noqa: E731
    for run in epochs.cut(range(len(examples)), batch_size, grows):
        yield [examples[index] for index in run]


def _device(device: Any) -> torch.device:
    if isinstance(device, int):
        if device >= 0:
            raise InputError(f'device={device} must be a torch.device or its name: device="cuda:{device}".')
        return torch.device("cpu")  # -1 was the CPU
    try:
        return torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f'device={device!r} is none of torch\'s ({error}). Use "cpu", "cuda" or a torch.device.'
        ) from None
