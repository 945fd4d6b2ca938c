"""A finished run at work: texts in, answers out, in order, on all cores and in bounded memory.

    python -m cluster.predict RUN [TEXT ...] [--input FILE] [--output FILE] [--field NAME] [--json]

Texts are arguments, the rows of a file (JSON lines, CSV, Parquet, ..., or text lines), or the lines of standard input,
which are JSON objects with `--field`. A tagger takes lists of words, too: `--field tokens`, or the sentences of a
`.conllu` or `.conll` file; the field `predicate` marks a word for a model that was trained on marks. Answers are JSON
lines in a file, in a pipe or with `--json`, short lines on a terminal. Blank lines are skipped. A line that cannot be
read is reported on standard error and stands in the output as {"line": 7, "error": ...}; the rest is predicted, and the
exit code is 2. An input field named as an answer is ("label") is kept as "input_label".

A model that answers questions takes rows with `question` and `context`, files of SQuAD, or texts with `--question`.

A language model goes on with each text (`--temperature` and its neighbours; on a terminal as it writes), or fills in
each [MASK]. A model that translates or sums up writes another text of each (`--beam`, `--length-penalty`).
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cluster.answers import Answer, Form, Written
from cluster.crew import Crew, answerable, write, written
from cluster.errors import EXIT_DONE, EXIT_WRONG_INPUT, DataError, DeviceError, exit_code_of
from cluster.runs import model_folder, read_json
from cluster.text.raw.requests import Request, asking, from_arguments, from_file, from_squad, from_stream, same_file
from cluster.text.tokens.pipeline import Encoder, tools_of

if TYPE_CHECKING:
    from cluster.speaker import Speaker

LARGE_FILE_BYTES = 1 << 20
"""For a larger one the workers are started at once."""
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def _device(wanted: str) -> str:
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceError("--device cuda: this machine shows no GPU to torch. Leave it out, or use --device cpu.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def _may_be_gpu(wanted: str) -> bool:
    """A guess without torch, whose import takes a second."""
    return wanted != "cpu" and any(map(os.path.exists, GPU_DRIVERS))


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


def _requests(options: argparse.Namespace, task: str) -> tuple[Iterator[Request], str]:
    """What to predict, and what to call it in messages. Raises DataError."""
    if task != "answer":
        for option in ("question", "squad"):
            if getattr(options, option):
                raise DataError(
                    f"--{option}: only for a model that answers questions, which {options.run} holds none of."
                )
        return _given_requests(options, options.field)
    # Without --question each line is a row, which holds the question, too.
    field = options.field or ("context" if options.question is None and not options.texts else None)
    given = options.input and str(options.input) != "-" and not options.texts
    squad = from_squad(options.input) if given and options.question is None else None
    requests, name = (squad, str(options.input)) if squad is not None else _given_requests(options, field)
    requests = asking(requests, options.question)
    return (_named(requests) if options.squad else requests), name


def _named(requests: Iterator[Request]) -> Iterator[Request]:
    """The requests; those whose row has no id are errors."""
    for request in requests:
        known = bool(request.error) or str((request.fields or {}).get("id", "")) != ""
        yield request if known else replace(request, error="no field 'id', by which --squad names each answer")


def _as_squad(answers: Iterator[Written]) -> Iterator[Written]:
    """Id and answer of each row, as one object at the end: what SQuAD's evaluation scripts read."""
    found: dict[str, str] = {}
    for some in answers:
        rows = map(json.loads, some.text.removesuffix("\n").split("\n") if some.text else ())
        found.update((str(row["id"]), row["answer"]) for row in rows if "answer" in row)
        yield Written("", some.bad)
    yield Written(json.dumps(found, ensure_ascii=False) + "\n", ())


def _given_requests(options: argparse.Namespace, field: str | None) -> tuple[Iterator[Request], str]:
    if options.texts and options.input:
        raise DataError("texts as arguments and --input exclude each other: give one of them.")
    if options.texts:
        return from_arguments(options.texts), "argument"
    if options.input and str(options.input) != "-":
        if options.output and same_file(options.input, options.output):
            raise DataError(f"--output {options.output} is the input itself: name another file.")
        return from_file(options.input, field), str(options.input)
    if sys.stdin.isatty():
        print("one text a line, Ctrl-D ends", file=sys.stderr)
    return from_stream(sys.stdin.buffer, field), "standard input"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="muster predict",
        description="Labels, numbers or other texts for texts, labels for their words, or answers to questions, from a "
        "finished run. "
        "Without texts or --input, stdin is read.",
        epilog='A line that cannot be read stands in the output as {"line": n, "error": ...}; the exit code is then 2.',
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a finished run, or its model/ folder")
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="texts to answer for")
    parser.add_argument(
        "--input",
        metavar="FILE",
        type=Path,
        help="texts: .jsonl .json .csv .tsv .txt .parquet .conllu .conll, also .gz .zst",
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="write JSON lines there")
    parser.add_argument(
        "--field",
        metavar="NAME",
        help='field that holds the text, or the list of words (lines are then JSON; default "text")',
    )
    parser.add_argument(
        "--question", metavar="TEXT", help="ask this of every text (default: the field question of each row)"
    )
    parser.add_argument(
        "--squad", action="store_true", help="one JSON object, id to answer, as SQuAD's evaluation scripts read it"
    )
    parser.add_argument("--json", action="store_true", help="JSON lines on a terminal too")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    searching = parser.add_argument_group("models that write a text of each (translations, summaries)")
    for name, kind, about in SEARCHING:
        searching.add_argument(f"--{name}", type=kind, metavar="NUMBER", help=about)
    speaking = parser.add_argument_group("language models that go on with a text")
    for name, kind, about in SPEAKING:
        speaking.add_argument(f"--{name}", type=kind, metavar="NUMBER", help=about)
    speaking.add_argument(
        "--stop", action="append", type=_stop_text, metavar="TEXT", help="end where this appears (may be repeated)"
    )
    return parser


def _width(words: str) -> int:
    return int(_within(words, int, lambda value: value >= 1, "a whole number, at least 1"))


def _share(words: str) -> float:
    return _within(words, float, lambda value: 0 < value <= 1, "a share above 0 and at most 1")


def _amount(words: str) -> float:
    return _within(words, float, lambda value: 0 <= value < float("inf"), "a number, at least 0")


def _stop_text(words: str) -> str:
    if not words:
        raise argparse.ArgumentTypeError("'' stands everywhere: give a text that ends what is written")
    return words


def _count(words: str) -> int:
    return int(_within(words, int, lambda value: value >= 0, "a whole number, at least 0"))


def _within(words: str, kind: Callable[[str], float], holds: Callable[[float], bool], rule: str) -> float:
    try:
        value = kind(words)
    except ValueError:
        value = float("nan")
    if not holds(value):
        raise argparse.ArgumentTypeError(f"{words!r} is not {rule}")
    return value


SPEAKING = (
    ("temperature", _amount, "0 takes the most probable token each time, 1 draws as the model says (default: 0.8)"),
    ("top-k", _count, "draw from so many of the most probable tokens (default: all)"),
    ("top-p", _share, "draw from the fewest that have this probability together (default: 1)"),
    ("tokens", _count, "most tokens to write (default: 100)"),
    ("seed", _count, "another seed, another text (default: 1)"),
)
"""Options of a causal model: name, type, meaning."""
SEARCHING = (
    ("beam", _width, "width of the search; 1 takes the most probable token each time (default: the recipe's)"),
    ("length-penalty", _amount, "0 favours short texts, more favours longer ones (default: the recipe's)"),
)
"""Options of a model that writes texts of others."""
REWRITTEN_AT_ONCE = 256
"""Texts read before their answers are written: those of about one length are searched for together."""


def _run(options: argparse.Namespace) -> int:
    folder = model_folder(options.run)
    task = _task_of(folder)
    if task == "embed":
        raise DataError(
            f"{options.run} holds word vectors, which say nothing of a text: `muster neighbours {options.run} WORD` "
            "shows the nearest words, `muster export --format word2vec` writes them, and model.vectors has another "
            "model begin with them."
        )
    requests, name = _requests(options, task)
    if options.output and not options.output.parent.is_dir():
        raise DataError(f"--output {options.output}: there is no folder {options.output.parent}.")
    as_json = options.json or options.squad or options.output is not None or not sys.stdout.isatty()
    form = Form(as_json, shutil.get_terminal_size().columns)
    if task != "rewrite" and (given := _given(options, SEARCHING)):
        raise DataError(
            f"{', '.join(given)}: only a model that writes texts of others searches, and {options.run} none."
        )
    if task == "language":
        return _speak(options, folder, requests, name, form)
    if given := _given(options, SPEAKING) + _given(options, [("stop",)]):
        raise DataError(f"{', '.join(given)}: only a language model draws its words, and {options.run} holds none.")
    if task == "rewrite":
        return _rewrite(options, folder, requests, name, form)
    bad = 0
    with Crew(folder, form, len(os.sched_getaffinity(0)) - 1) as crew:
        if _is_large(options.input):
            crew.start(whole=not _may_be_gpu(options.device))
        from cluster.predictor import Predictor  # imports torch, as the workers do meanwhile

        predictor = Predictor(folder, _device(options.device))
        _say_other_tools(predictor.encoder)
        requests = answerable(requests, predictor)
        answers = written(requests, predictor, form, crew)
        if name == "standard input" and sys.stdin.isatty():  # somebody sits there and waits for each answer
            answers = (write(predictor, form, [request]) for request in requests)
        with _output(options.output) as stream:
            for some in _as_squad(answers) if options.squad else answers:
                stream.write(some.text)
                stream.flush()
                for line, reason in some.bad:
                    print(f"muster: {name}:{line}: {reason}", file=sys.stderr)
                bad += len(some.bad)
    return EXIT_WRONG_INPUT if bad else EXIT_DONE


def _task_of(folder: Path) -> str:
    task = read_json(folder / "model.json").get("task", {})
    return str(task.get("kind")) if isinstance(task, dict) else ""


def _given(options: argparse.Namespace, among: Sequence[tuple[Any, ...]]) -> list[str]:
    """Those of some options that were given."""
    names = [str(name) for name, *_ in among]
    return [f"--{name}" for name in names if getattr(options, name.replace("-", "_")) is not None]


def _speak(options: argparse.Namespace, folder: Path, requests: Iterator[Request], name: str, form: Form) -> int:
    """A language model's answers, one after the other; on a terminal as they are written."""
    from cluster.sampling import Sampling
    from cluster.speaker import Speaker

    speaker = Speaker(folder, _device(options.device))
    _say_other_tools(speaker.encoder)
    if speaker.objective != "causal" and (given := _given(options, SPEAKING) + _given(options, [("stop",)])):
        raise DataError(f"{', '.join(given)}: {options.run} is a masked model, which fills in and draws nothing.")
    asked: dict[str, Any] = {
        "temperature": options.temperature, "top_k": options.top_k, "top_p": options.top_p,
        "most_tokens": options.tokens, "seed": options.seed, "stop": options.stop and tuple(options.stop),
    }  # fmt: skip
    sampling = Sampling(**{key: value for key, value in asked.items() if value is not None})
    bad = 0
    with _output(options.output) as stream:
        for request in requests:
            if not form.as_json and speaker.objective == "causal" and not request.error:
                for piece in (request.text, *speaker.continued(request.text, sampling), "\n\n"):
                    stream.write(piece)
                    stream.flush()
                continue
            some = _spoken(speaker, request, sampling, form)
            stream.write(some.text)
            stream.flush()
            for line, reason in some.bad:
                print(f"muster: {name}:{line}: {reason}", file=sys.stderr)
            bad += len(some.bad)
    return EXIT_WRONG_INPUT if bad else EXIT_DONE


def _spoken(speaker: "Speaker", request: Request, sampling: Any, form: Form) -> Written:
    """The lines of one request."""
    answers: list[Answer] = []
    if not request.error:
        try:
            if speaker.objective == "causal":
                answers = [{"continuation": "".join(speaker.continued(request.text, sampling))}]
            else:
                answers = [speaker.filled(request.text)]
        except DataError as error:
            request = Request(request.line, error=str(error))
    return form.write([request], answers)


def _rewrite(options: argparse.Namespace, folder: Path, requests: Iterator[Request], name: str, form: Form) -> int:
    """What a model writes of each text, so many at a time; where somebody waits for each answer, one."""
    from cluster.rewriter import Rewriter

    rewriter = Rewriter(folder, _device(options.device))
    _say_other_tools(rewriter.encoder)
    search = rewriter.search
    if options.beam is not None:
        search = replace(search, beam=options.beam)
    if options.length_penalty is not None:
        search = replace(search, length_penalty=options.length_penalty)
    at_once = 1 if name == "standard input" and sys.stdin.isatty() else REWRITTEN_AT_ONCE
    bad = 0
    with _output(options.output) as stream:
        while some := list(islice(requests, at_once)):
            texts = rewriter.rewritten([request.text for request in some if not request.error], search)
            lines = form.write(some, [{"rewritten": text} for text in texts])
            stream.write(lines.text)
            stream.flush()
            for line, reason in lines.bad:
                print(f"muster: {name}:{line}: {reason}", file=sys.stderr)
            bad += len(lines.bad)
    return EXIT_WRONG_INPUT if bad else EXIT_DONE


def _is_large(path: Path | None) -> bool:
    try:
        return path is not None and path.stat().st_size >= LARGE_FILE_BYTES
    except OSError:
        return False  # whoever reads it says more


def _say_other_tools(encoder: Encoder) -> None:
    """Another version of spaCy and its like may split a few texts otherwise."""
    trained = encoder.tools or {}
    for name, here in tools_of(encoder.text).items():
        if trained.get(name) not in (None, here):
            print(
                f"muster: the model was trained with {name} {trained[name]}, this is {here}: a few tokens may differ",
                file=sys.stderr,
            )


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_intermixed_args(arguments)
    return exit_code_of(lambda: _run(options))


def _stop(number: int, _: object) -> None:
    """As Ctrl-C: nothing half-written is left, and no worker."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:]))
