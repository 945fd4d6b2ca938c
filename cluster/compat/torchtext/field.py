"""What a column of the data is, and how a batch of its values becomes a tensor.

B values of a batch, T tokens of the longest.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import torch

from cluster.compat.torchtext.tokenizers import Split, get_tokenizer
from cluster.compat.torchtext.vocab import Vocab
from cluster.errors import DataError, InputError

SHOWN = 60
"""Characters of a value that an error shows."""
_NUMBER_OF: dict[torch.dtype, Callable[[Any], Any]] = {
    **dict.fromkeys((torch.float16, torch.bfloat16, torch.float32, torch.float64), float),
    **dict.fromkeys((torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64), int),
}


class RawField:
    """Values that stay what they are. `preprocessing(value)` is done as an example is made, `postprocessing(values)` as
    a batch is."""

    def __init__(
        self,
        preprocessing: Callable[..., Any] | None = None,
        postprocessing: Callable[..., Any] | None = None,
        is_target: bool = False,
    ) -> None:
        self.preprocessing, self.postprocessing, self.is_target = preprocessing, postprocessing, is_target

    def preprocess(self, x: Any) -> Any:
        """What an example keeps of a value."""
        return x if self.preprocessing is None else self.preprocessing(x)

    def process(self, batch: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """What a batch holds of its examples' values."""
        return batch if self.postprocessing is None else self.postprocessing(batch)


class Field(RawField):
    """Values that become a tensor: texts (`sequential`), labels, numbers (`use_vocab=False`).

    sequential       split into tokens, and padded to the longest of a batch; else nothing about tokens counts
    use_vocab        become numbers of a vocabulary, which `build_vocab` makes; else they are numbers
    init_token       stands before, `eos_token` behind each sequence; None: nothing does
    fix_length       tokens of each sequence with these two, longer ones cut; None: as long as the longest of a batch
    dtype            of the tensor
    preprocessing    called with the value of an example (of a text, its list of tokens)
    postprocessing   called with a batch of numbers and the vocabulary, before they become a tensor
    lower            turn tokens into lower case
    tokenize         a function, or "spacy", "basic_english" (`get_tokenizer`); None splits at white space
    include_lengths  give a pair with the lengths, int64 (B,) on the CPU, where `pack_padded_sequence` wants them
    batch_first      tensors are (B, T), else (T, B)
    pad_first        pad at the beginning; `truncate_first` cuts there
    stop_words       tokens that are left out
    is_target        is it what a model is to learn? A batch is a pair of inputs and targets

    Raises InputError for arguments that contradict each other, RecipeError for a language without a tokenizer.
    """

    vocab: Vocab

    def __init__(
        self,
        sequential: bool = True,
        use_vocab: bool = True,
        init_token: Any = None,
        eos_token: Any = None,
        fix_length: int | None = None,
        dtype: torch.dtype = torch.long,
        preprocessing: Callable[..., Any] | None = None,
        postprocessing: Callable[..., Any] | None = None,
        lower: bool = False,
        tokenize: str | Split | None = None,
        tokenizer_language: str = "en",
        include_lengths: bool = False,
        batch_first: bool = False,
        pad_token: Any = "<pad>",
        unk_token: Any = "<unk>",
        pad_first: bool = False,
        truncate_first: bool = False,
        stop_words: Iterable[str] | None = None,
        is_target: bool = False,
    ) -> None:
        super().__init__(preprocessing, postprocessing, is_target)
        if not use_vocab and dtype not in _NUMBER_OF:
            known = ", ".join(str(one) for one in _NUMBER_OF)
            raise InputError(f"without use_vocab, dtype must be one of {known}, but is {dtype}.")
        if include_lengths and not sequential:
            raise InputError("include_lengths is for sequences, but sequential=False is given: leave one of them out.")
        marks = (init_token is not None) + (eos_token is not None)
        if fix_length is not None and fix_length < marks + 1:
            raise InputError(
                f"fix_length must be {marks + 1} or more, or nothing of a text is left, but is {fix_length}."
            )
        self.sequential, self.use_vocab, self.dtype = sequential, use_vocab, dtype
        self.init_token, self.eos_token, self.unk_token = init_token, eos_token, unk_token
        self.pad_token = pad_token if sequential else None
        self.fix_length, self.pad_first, self.truncate_first = fix_length, pad_first, truncate_first
        self.lower, self.include_lengths, self.batch_first = lower, include_lengths, batch_first
        self.stop_words = None if stop_words is None else _as_set(stop_words)
        self.tokenize = get_tokenizer(tokenize, tokenizer_language)

    def preprocess(self, x: Any) -> Any:
        """The tokens of a text, or a value as it is, lowered and without stop words if so wished; then what
        `preprocessing` makes of it. Raises DataError for a value that the field cannot hold."""
        if self.sequential and isinstance(x, str):
            x = self.tokenize(x.rstrip("\n"))
        if self.lower:
            x = [_lowered(token) for token in x] if isinstance(x, list | tuple) else _lowered(x)
        if self.sequential and self.stop_words is not None:
            x = [token for token in x if token not in self.stop_words]
        if self.preprocessing is not None:
            x = self.preprocessing(x)
        if self.sequential and not isinstance(x, list | tuple):
            raise DataError(
                f"a sequential field takes a string or a list, but the value is {_shown(x)}. Use "
                "Field(sequential=False) or LabelField, or preprocessing that makes a list of it."
            )
        if x is None:
            raise DataError(
                "the value is missing (None). Give it one in the data, or with Field(preprocessing=lambda value: ...)."
            )
        return x

    def build_vocab(self, *args: Any, **kwargs: Any) -> None:
        """Sets `vocab` from the columns of this field in data sets, or from iterables of values (lists of tokens, if
        sequential). Further arguments are those of `Vocab`; `specials` follow the field's own.

        Raises InputError if no data set has such a column, and what `Vocab` raises.
        """
        counter: Counter[Any] = Counter()
        sources = list(chain.from_iterable(_columns_of(self, data) for data in args))
        if not sources:
            raise InputError(
                "build_vocab found no column of this field in what it was given: name it in the fields of the data "
                "set, or give lists of tokens."
            )
        for values in sources:
            for value in values:
                try:
                    counter.update(value if self.sequential else [value])
                except TypeError:
                    raise DataError(
                        f"{_shown(value)} cannot be counted: a vocabulary holds words, labels or numbers."
                    ) from None
        own = [self.unk_token, self.pad_token, self.init_token, self.eos_token, *kwargs.pop("specials", [])]
        specials = list(dict.fromkeys(token for token in own if token is not None))
        self.vocab = Vocab(counter, specials=specials, unk_token=self.unk_token, **kwargs)

    def process(self, batch: Sequence[Any], *args: Any, device: Any = None, **kwargs: Any) -> Any:
        """A batch of examples' values as a tensor, with `include_lengths` as a pair: `numericalize` of `pad`."""
        return self.numericalize(self.pad(batch), device=device)

    def pad(self, minibatch: Sequence[Any]) -> Any:
        """Sequences with their marks, all of one length; with `include_lengths`, a pair with the length of each without
        its padding. Values that are no sequences stay as they are. Raises InputError without a `pad_token`."""
        if not self.sequential:
            return minibatch
        before = [] if self.init_token is None else [self.init_token]
        behind = [] if self.eos_token is None else [self.eos_token]
        longest = max(map(len, minibatch), default=0)
        if self.fix_length is not None:
            longest = self.fix_length - len(before) - len(behind)
        padded, lengths = [], []
        for tokens in minibatch:
            kept = list(tokens[-longest:] if self.truncate_first else tokens[:longest])
            row = [*before, *kept, *behind]
            lengths.append(len(row))
            padding = [self.pad_token] * (longest - len(kept))
            if padding and self.pad_token is None:
                raise InputError("sequences of a batch are not of one length, but pad_token is None: name a token.")
            padded.append([*padding, *row] if self.pad_first else [*row, *padding])
        return (padded, lengths) if self.include_lengths else padded

    def numericalize(self, arr: Any, device: Any = None) -> Any:
        """Padded sequences, or values, as a tensor: (T, B), with `batch_first` (B, T); values (B,). With
        `include_lengths` a pair, given and returned.

        Raises InputError without a vocabulary; DataError for a word that it lacks where there is no `unk_token`, and
        for what is no number.
        """
        lengths = None
        if self.include_lengths:
            if not isinstance(arr, tuple):
                raise InputError(
                    "with include_lengths, numericalize takes a pair of padded sequences and their lengths."
                )
            arr, lengths = arr
        number = self._numbers_of if self.use_vocab else self._parsed
        numbers = [number(row) for row in arr] if self.sequential else number(arr)
        if self.postprocessing is not None:
            numbers = self.postprocessing(numbers, self.vocab if self.use_vocab else None)
        tensor = torch.tensor(numbers, dtype=self.dtype, device=device)
        if self.sequential and not self.batch_first:
            tensor = tensor.t().contiguous()
        return tensor if lengths is None else (tensor, torch.tensor(lengths, dtype=torch.int64))

    def _numbers_of(self, words: Sequence[Any]) -> list[int]:
        if not hasattr(self, "vocab"):
            raise InputError(
                "the field has no vocabulary yet: call its build_vocab(train_data) before a batch is made."
            )
        stoi = self.vocab.stoi
        try:
            return [stoi[word] for word in words]
        except TypeError as error:
            raise DataError(
                f"a value is no word or label, so no vocabulary holds it ({error}): {_shown(words)}"
            ) from None
        except KeyError as error:
            some = ", ".join(repr(one) for one in self.vocab.itos[:10])
            raise DataError(
                f"{_shown(error.args[0])} is none of the {len(self.vocab):,} entries of the vocabulary ({some}, ...), "
                "and the field has no unk_token for such. Build the vocabulary from all data sets that hold it, or "
                "correct the data."
            ) from None

    def _parsed(self, values: Sequence[Any]) -> list[Any]:
        try:
            return [_NUMBER_OF[self.dtype](value) if isinstance(value, str) else value for value in values]
        except ValueError as error:
            raise DataError(
                f"use_vocab=False takes numbers ({self.dtype}), but there is none in {_shown(values)}: {error}. Use "
                "use_vocab=True, or preprocessing that makes numbers; a sequence of numbers needs pad_token=0."
            ) from None


class LabelField(Field):
    """A label of an example: no sequence, no unknown word, and a target. Otherwise as `Field`."""

    def __init__(self, **kwargs: Any) -> None:
        own = {"sequential": False, "unk_token": None, "is_target": True}
        for name, value in own.items():
            if kwargs.get(name, value) != value:
                raise InputError(f"a LabelField has {name}={value}, but {kwargs[name]!r} is given: use Field.")
        super().__init__(**(kwargs | own))


def _columns_of(field: Field, data: Any) -> Iterable[Any]:
    """The columns of a data set that are of this field; what is no data set is one column."""
    fields = getattr(data, "fields", None)
    if not isinstance(fields, dict):
        return [data]
    return [getattr(data, name) for name, other in fields.items() if other is field]


def _lowered(token: Any) -> Any:
    return token.lower() if isinstance(token, str) else token


def _as_set(words: Iterable[str]) -> set[str]:
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise InputError(f"stop_words must be words in a list or a set, but is {words!r}.")
    return set(words)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
