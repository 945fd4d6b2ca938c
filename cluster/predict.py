"""A finished run at work: texts in, labels with probabilities out, in batches and in bounded memory.

    python -m cluster.predict RUN [TEXT ...] [--input FILE] [--output FILE] [--field NAME] [--json]

Texts are arguments, or the lines of a file or of standard input; lines are JSON objects in a `.jsonl` file or with
`--field`. Answers are JSON lines in a file, in a pipe or with `--json`, short lines on a terminal. Blank lines are
skipped. A line that cannot be read is reported on standard error and stands in the output as {"line": 7, "error": ...};
the rest is predicted, and the exit code is 2. An input field named as an answer is ("label") is kept as "input_label".
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch

from cluster.errors import EXIT_DONE, EXIT_WRONG_INPUT, DataError, DeviceError, MusterError, RunError
from cluster.models.build import load_for_inference
from cluster.runs import open_run, run_state
from cluster.text.pipeline import Documents, Encoder, spacy_version
from cluster.text.requests import Request, from_arguments, from_file, from_stream, same_file
from cluster.training.checkpoint import verify_folder

BATCH_TEXTS = 256
# Padding counted; one forward of a recurrent model holds a few hidden states for each.
FORWARD_TOKENS = 32_768

Probabilities = npt.NDArray[np.float64]


class Predictor:
    """A trained model with its encoder: all that `model/` of a finished run holds. Raises RunError, DataError."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.device = device
        verify_model(folder)
        self.encoder = Encoder.load(folder)
        self._model, description = load_for_inference(folder, device)
        self._model.eval()
        self.labels: list[str] = description["labels"]
        if description.get("layout", self._layout) != self._layout:
            raise RunError(f"{folder}: encoder.json and model.json belong to different runs. Copy the model again.")

    @property
    def _layout(self) -> str:
        return "bag" if self.encoder.weighted else "sequence"

    def __call__(self, texts: Sequence[str]) -> Probabilities:
        """Probabilities (B, C) of each label for each text."""
        documents = self.encoder.encode(texts)
        found = np.zeros((len(texts), len(self.labels)))
        with torch.inference_mode():
            for chosen in _forwards(documents):
                logits = self._model(*self._batch(documents, chosen))
                found[chosen] = torch.softmax(logits.double(), dim=-1).cpu().numpy()
        return found

    def _batch(self, documents: Documents, chosen: npt.NDArray[np.int64]) -> tuple[torch.Tensor, ...]:
        """What `forward` takes for these documents: tokens, lengths, weights."""
        ends = np.cumsum(documents.lengths, dtype=np.int64)
        lengths = documents.lengths[chosen].astype(np.int64)
        places = np.concatenate([np.arange(ends[i] - documents.lengths[i], ends[i]) for i in chosen]).astype(np.int64)
        tokens = documents.tokens[places].astype(np.int64)
        if documents.weights is not None:
            return self._sent(tokens), self._sent(lengths), self._sent(documents.weights[places])
        padded = np.zeros((len(chosen), max(1, int(lengths.max()))), dtype=np.int64)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = tokens
        return self._sent(padded), self._sent(lengths), None  # type: ignore[return-value]

    def _sent(self, array: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def _forwards(documents: Documents) -> Iterator[npt.NDArray[np.int64]]:
    """Which documents to run together: all of a bag; of sequences, those of like length under the token limit."""
    if documents.weights is not None or not documents.lengths.size:
        if documents.lengths.size:
            yield np.arange(documents.lengths.size)
        return
    order = np.argsort(documents.lengths, kind="stable")[::-1]
    first = 0
    while first < order.size:
        rows = max(1, FORWARD_TOKENS // max(1, int(documents.lengths[order[first]])))
        yield order[first : first + rows]
        first += rows


def predict(
    predictor: Predictor,
    requests: Iterable[Request],
    answer: Callable[[Request, dict[str, Any]], None],
    batch_texts: int = BATCH_TEXTS,
) -> None:
    """Calls `answer` for each request in order, with what was found, or with nothing for one that is in error."""
    waiting = iter(requests)
    while batch := list(islice(waiting, batch_texts)):
        rows = iter(predictor([request.text for request in batch if not request.error]))
        for request in batch:
            answer(request, {} if request.error else _found(predictor.labels, next(rows)))


def _found(labels: Sequence[str], probabilities: Probabilities) -> dict[str, Any]:
    best = int(probabilities.argmax())
    return {
        "label": labels[best],
        "probability": round(float(probabilities[best]), 6),
        "probabilities": {label: round(float(p), 6) for label, p in zip(labels, probabilities, strict=True)},
    }


class Answers:
    """Writes answers as JSON lines or as short lines, and counts the requests that were in error."""

    def __init__(self, stream: IO[str], name: str, as_json: bool) -> None:
        self._stream, self._name, self._json = stream, name, as_json
        self._width = shutil.get_terminal_size().columns
        self.bad = 0

    def __call__(self, request: Request, found: dict[str, Any]) -> None:
        if request.error:
            self.bad += 1
            print(f"muster: {self._name}:{request.line}: {request.error}", file=sys.stderr)
            if not self._json:
                return
            found = {"line": request.line, "error": request.error}
        elif self._json:
            given = {"text": request.text} if request.fields is None else request.fields
            found = {(f"input_{key}" if key in found else key): value for key, value in given.items()} | found
        self._stream.write(
            (json.dumps(found, ensure_ascii=False) if self._json else self._short(request, found)) + "\n"
        )

    def _short(self, request: Request, found: dict[str, Any]) -> str:
        # Escape sequences of a text must not reach the terminal.
        text = "".join(letter if letter.isprintable() else " " for letter in request.text)
        line = f"{found['label']}  {found['probability']:.3f}  {' '.join(text.split())}"
        return line if len(line) <= self._width else line[: self._width - 1] + "…"


def verify_model(folder: Path) -> None:
    """Compare what `predict` reads with the hashes that training wrote beside it, if any. Raises RunError."""
    if not (folder / "manifest.json").exists():
        return  # a model put together by other hands
    try:
        verify_folder(folder)
    except RunError as error:
        raise RunError(f"The model cannot be trusted: {error} Train it again, or copy it again.") from error


def model_folder(run: Path) -> Path:
    """The `model/` folder of a finished run, or the folder itself if it is one. Raises RunError."""
    if (run / "model.json").is_file():
        return run
    opened = open_run(run)
    if not opened.model.is_dir():
        raise RunError(f"{run} has no model yet, it is {run_state(opened)}: `muster resume {run}` finishes it.")
    return opened.model


def _device(wanted: str) -> str:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceError("--device cuda: this machine shows no GPU to torch. Leave it out, or use --device cpu.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a file that gets its name once it is whole."""
    # A lone surrogate from JSON input goes out as the escape it came in by.
    how = {"encoding": "utf-8", "errors": "backslashreplace"}
    if path is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(**how)
        yield sys.stdout
        sys.stdout.flush()
        return
    if path.exists() and not path.is_file():  # a device or a pipe: there is nothing to rename
        with open(path, "w", **how) as file:  # type: ignore[call-overload]
            yield file
        return
    beside = path.parent / f".{path.name}.{os.getpid()}.partial"
    try:
        with open(beside, "x", **how) as file:  # type: ignore[call-overload]
            yield file
        os.replace(beside, path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def _requests(options: argparse.Namespace) -> tuple[Iterator[Request], str]:
    """What to predict, and what to call it in messages. Raises DataError."""
    if options.texts and options.input:
        raise DataError("texts as arguments and --input exclude each other: give one of them.")
    if options.texts:
        return from_arguments(options.texts), "argument"
    if options.input and str(options.input) != "-":
        if options.output and same_file(options.input, options.output):
            raise DataError(f"--output {options.output} is the input itself: name another file.")
        return from_file(options.input, options.field), str(options.input)
    if sys.stdin.isatty():
        print("one text a line, Ctrl-D ends", file=sys.stderr)
    return from_stream(sys.stdin.buffer, options.field), "standard input"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="muster predict",
        description="Label texts with a finished run. Without texts and --input, standard input is read.",
        epilog='A line that cannot be read stands in the output as {"line": n, "error": ...}; the exit code is then 2.',
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a finished run, or its model/ folder")
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="texts to label")
    parser.add_argument("--input", metavar="FILE", type=Path, help="read texts from .jsonl (.gz, .zst) or text lines")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write JSON lines there")
    parser.add_argument(
        "--field", metavar="NAME", help='field that holds the text (lines are then JSON; default "text")'
    )
    parser.add_argument("--json", action="store_true", help="JSON lines on a terminal too")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    requests, name = _requests(options)
    if options.output and not options.output.parent.is_dir():
        raise DataError(f"--output {options.output}: there is no folder {options.output.parent}.")
    predictor = Predictor(model_folder(options.run), _device(options.device))
    if predictor.encoder.spacy_version != spacy_version():
        print(
            f"muster: the model was trained with spaCy {predictor.encoder.spacy_version}, this is {spacy_version()}: "
            "a few tokens may differ",
            file=sys.stderr,
        )
    interactive = name == "standard input" and sys.stdin.isatty()
    with _output(options.output) as stream:
        answers = Answers(stream, name, options.json or options.output is not None or not sys.stdout.isatty())
        one_by_one = _flushed(answers, stream) if interactive else answers
        predict(predictor, requests, one_by_one, 1 if interactive else BATCH_TEXTS)
    return EXIT_WRONG_INPUT if answers.bad else EXIT_DONE


def _flushed(answers: Answers, stream: IO[str]) -> Callable[[Request, dict[str, Any]], None]:
    """Somebody sits there and waits for each answer."""

    def answer(request: Request, found: dict[str, Any]) -> None:
        answers(request, found)
        stream.flush()

    return answer


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    try:
        return _run(options)
    except MusterError as error:
        print(f"muster: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
