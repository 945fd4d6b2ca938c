"""`muster`: what a person types. This file holds the words; `commands.py` does the work and is loaded only then."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from cluster.errors import EXIT_DONE, EXIT_WRONG_INPUT, MusterError, PlanError, without_right
from launch.jobs import words as jobs
from launch.teach import COMMANDS, HEAD, TAIL, Command

Add = Callable[[argparse.ArgumentParser], None]
EXIT_INTERRUPTED = 130  # a shell's habit: 128 + SIGINT
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


def entry() -> NoReturn:
    """The console script."""
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (`cluster/errors.py` says what each means)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except SystemExit as stop:  # argparse: 0 after --help, 2 for wrong usage
        return stop.code if isinstance(stop.code, int) else EXIT_WRONG_INPUT
    except MusterError as error:
        print(f"muster: {error}", file=sys.stderr)
        return error.exit_code
    except PermissionError as error:
        print(f"muster: {without_right(error)}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except KeyboardInterrupt:
        print("muster: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `muster explain | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it leaves
        return EXIT_BROKEN_PIPE


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        topic = arguments[1:2]
        if topic and topic[0] in COMMANDS:
            parser(topic[0]).print_help()
        else:
            print(overview())
        return EXIT_DONE if arguments else EXIT_WRONG_INPUT
    if arguments[0] == "--version":
        import importlib.metadata

        print(f"muster {importlib.metadata.version('muster-train')}")
        return EXIT_DONE
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        print(f"muster: {_unknown(name)}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    own, beyond = (rest, []) if name != "submit" else _at_dashes(rest)
    # Intermixed: settings and options may stand in any order.
    options = parser(name).parse_intermixed_args(own)
    if name == "submit":
        options.sbatch = beyond
    sys.stdout.flush()
    return _run(name, options, rest)


def _at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before `--`, and what stands behind it."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _run(name: str, options: argparse.Namespace, arguments: list[str]) -> int:
    from launch import local

    try:
        if name == "predict":
            local.become("cluster.predict", arguments)
        if name == "neighbours":
            local.become("cluster.neighbours", arguments)
        if name == "export":
            local.become("cluster.export", arguments)
        if name == "data":
            local.become("cluster.text.sets.catalogue", arguments)
        if name == "inspect" and options.what == "data":
            local.become("cluster.survey", _of_survey(options))
        if name == "check" and not (options.recipe or options.node):
            raise PlanError(
                "muster check needs a recipe (`muster recipes` lists some), or --node to check the machine."
            )
        if name == "probe" or (name == "check" and options.node):
            return _probe_or_check(name, options)
        if name in jobs.ARGUMENTS:
            return jobs.run(name, options)
        from launch import commands

        work: dict[str, Callable[[argparse.Namespace], int]] = {
            "train": commands.train,
            "resume": commands.resume,
            "evaluate": commands.evaluate,
            "report": commands.report,
            "prepare": commands.prepare,
            "check": commands.check,
            "baseline": commands.baseline,
            "explain": commands.explain,
            "recipes": commands.recipes,
            "schema": commands.schema,
            "inspect": commands.inspect_order,
            "verify": commands.verify,
        }
        code = work[name](options)
        sys.stdout.flush()
        return code
    except local.ChildFailed as failed:
        return failed.exit_code


def _probe_or_check(name: str, options: argparse.Namespace) -> int:
    from cluster.topology.node import expect_many
    from launch.probe import command

    expect_many()
    if name == "check":
        return command.check(options)
    words = options.words
    if not words:
        return command.probe(options)
    if words[0] == "diff" and len(words) == 3:
        return command.diff(options)
    raise PlanError(
        f"muster probe {' '.join(words)}: there is `muster probe` for this machine or allocation, and `muster probe "
        "diff A B` for two records or runs."
    )


def overview() -> str:
    """What `muster --help` prints."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items())
    return f"{HEAD}\n\ncommands:\n{listed}\n\n{TAIL}"


def parser(name: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    command: Command = COMMANDS[name]
    built = argparse.ArgumentParser(
        prog=f"muster {name}",
        description=command.about,
        epilog=command.examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    ARGUMENTS[name](built)
    if name not in ("predict", "data", "logs", "watch"):  # two say it in their own words, two show what is there
        built.add_argument("--json", action="store_true", help="one JSON document on stdout, everything else on stderr")
    return built


def _recipe(built: argparse.ArgumentParser) -> None:
    built.add_argument(
        "recipe", metavar="RECIPE", help="a shipped recipe (`muster recipes`) or the path of a .toml file"
    )
    built.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="settings, as in train.epochs=3")


def _train(built: argparse.ArgumentParser) -> None:
    _recipe(built)
    built.add_argument("--run", metavar="DIR", help="folder of the new run (default: runs/RECIPE)")


def _run_and_launch(built: argparse.ArgumentParser) -> None:
    built.add_argument("run", metavar="RUN", help="folder of a run")
    built.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="launch.key=value",
        help="settings of [launch], as in launch.ranks=2",
    )


def _evaluate(built: argparse.ArgumentParser) -> None:
    _run_and_launch(built)
    built.add_argument("--data", metavar="FILE", help="labelled examples to score instead of the test split")


def _report(built: argparse.ArgumentParser) -> None:
    built.add_argument("run", metavar="RUN", help="folder of a run, finished or not")
    built.add_argument("--output", metavar="FILE", help="where to write the page (default: report.html in the run)")


def _explain(built: argparse.ArgumentParser) -> None:
    built.add_argument(
        "key", nargs="?", default="", metavar="KEY", help="a setting or a section; without it, everything"
    )


def _data(built: argparse.ArgumentParser) -> None:
    built.add_argument("action", choices=["list", "fetch", "path"])
    built.add_argument("name", nargs="?", metavar="NAME", help="a set of the catalogue")
    built.add_argument("--json", action="store_true", help="one JSON document on stdout")


def _inspect(built: argparse.ArgumentParser) -> None:
    built.add_argument("what", choices=["data", "order"])
    built.add_argument(
        "recipe", metavar="DATA", help="a recipe; for `data` also a file, a glob or a set of `muster data list`"
    )
    built.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="settings, as in data.label=topic")
    built.add_argument("--ranks", type=_whole, metavar="R", help="order: ranks to share each step among (default: 1)")
    built.add_argument(
        "--steps", type=_range, metavar="A:B", help="order: from step A up to, not including, B (default: 0:10)"
    )


def _of_survey(options: argparse.Namespace) -> list[str]:
    """What `cluster.survey` is told. Raises PlanError for what only the order has."""
    if options.ranks or options.steps:
        raise PlanError("--ranks and --steps belong to `muster inspect order`: the data is the same on any ranks.")
    return [options.recipe, *options.overrides, *(["--json"] if options.json else [])]


def _predict(built: argparse.ArgumentParser) -> None:
    built.add_argument("run", metavar="RUN", help="folder of a finished run")
    built.add_argument(
        "texts", nargs="*", default=[], metavar="TEXT", help="texts to answer for; without any, lines of stdin"
    )
    built.add_argument("--input", metavar="FILE", help="texts: .jsonl .json .csv .tsv .txt .parquet, also .gz .zst")
    built.add_argument("--output", metavar="FILE", help="where to write answers, as JSON lines")
    built.add_argument(
        "--field", metavar="NAME", help="the field of --input that holds the text (default: as in training)"
    )
    built.add_argument(
        "--question", metavar="TEXT", help="ask this of every text (default: the field question of each row)"
    )
    built.add_argument(
        "--squad", action="store_true", help="one JSON object, id to answer, as SQuAD's evaluation scripts read it"
    )
    built.add_argument("--json", action="store_true", help="JSON on stdout")
    built.add_argument("--device", choices=("auto", "cpu", "cuda"), help="default: a GPU if there is one")
    searching = built.add_argument_group("models that write a text of each (translations, summaries)")
    for name, about in (
        ("beam", "width of the search; 1 takes the most probable token each time (default: the recipe's)"),
        ("length-penalty", "0 favours short texts, more favours longer ones (default: the recipe's)"),
    ):
        searching.add_argument(f"--{name}", metavar="NUMBER", help=about)
    speaking = built.add_argument_group("language models that go on with a text")
    for name, about in (
        ("temperature", "0 takes the most probable token each time, 1 draws as the model says (default: 0.8)"),
        ("top-k", "draw from so many of the most probable tokens (default: all)"),
        ("top-p", "draw from the fewest that have this probability together (default: 1)"),
        ("tokens", "most tokens to write (default: 100)"),
        ("seed", "another seed, another text (default: 1)"),
    ):
        speaking.add_argument(f"--{name}", metavar="NUMBER", help=about)
    speaking.add_argument("--stop", action="append", metavar="TEXT", help="end where this appears (may be repeated)")


def _export(built: argparse.ArgumentParser) -> None:
    built.add_argument("run", metavar="RUN", help="folder of a finished run; for npz of any run, or of prepared data")
    built.add_argument(
        "--format", choices=["huggingface", "onnx", "word2vec", "npz"], required=True,
        help="huggingface: a folder that transformers loads; onnx: a graph for ONNX runtimes; word2vec: a text file of "
        "word vectors; npz: sparse matrices of the documents' words",
    )  # fmt: skip
    built.add_argument(
        "--weights", choices=["count", "tfidf", "binary"],
        help="weights of words, with npz alone (default: what the data is prepared with)",
    )  # fmt: skip
    built.add_argument("--output", metavar="PATH", required=True, help="folder, or file, to write")


def _neighbours(built: argparse.ArgumentParser) -> None:
    built.add_argument("run", metavar="RUN", help="folder of a finished run of word vectors")
    built.add_argument("words", nargs="+", metavar="WORD", help="a word, or a sum of words: king - man + woman")
    built.add_argument("--count", type=_whole, default=10, metavar="N", help="how many (default: 10)")


def _verify(built: argparse.ArgumentParser) -> None:
    built.add_argument("data", metavar="DATA", help="a folder that `muster prepare` printed, or of a run")


def _probe(built: argparse.ArgumentParser) -> None:
    built.add_argument("words", nargs="*", default=[], metavar="diff A B", help="compare two records, or two runs")
    _asked(built)
    built.add_argument("--svg", type=_file, metavar="FILE", help="write the picture")
    built.add_argument("--html", type=_file, metavar="FILE", help="write one page with picture and tables")
    built.add_argument("--save", type=_file, metavar="FILE", help="write the record, to compare with later")
    built.add_argument("--record", type=_file, metavar="FILE", help="write all that this machine was asked and said")
    built.add_argument("--schema", action="store_true", help="print the JSON Schema of a record")


def _check(built: argparse.ArgumentParser) -> None:
    built.add_argument(
        "recipe", metavar="RECIPE", nargs="?", help="a shipped recipe (`muster recipes`) or the path of a .toml file"
    )
    built.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="settings, as in train.epochs=3")
    built.add_argument("--node", action="store_true", help="check the machine instead, or each node of the allocation")
    _asked(built)


def _asked(built: argparse.ArgumentParser) -> None:
    """What every question to machines has."""
    built.add_argument(
        "--measure",
        type=_seconds,
        nargs="?",
        const=30.0,
        default=0.0,
        metavar="SECONDS",
        help="measure rates too, for about so long (default: 30)",
    )
    built.add_argument("--wait", type=_seconds, metavar="SECONDS", help="for other nodes' records (default: 20)")
    built.add_argument(
        "--folder", action="append", default=[], metavar="ROLE=PATH", help="a folder to look at, as in data=/scratch"
    )
    built.add_argument("--replay", metavar="FILE", help="ask the machine of a recording (probe --record) instead")
    built.set_defaults(record=None)


def _nothing(built: argparse.ArgumentParser) -> None:
    pass


ARGUMENTS: dict[str, Add] = {
    "train": _train,
    "resume": _run_and_launch,
    "predict": _predict,
    "neighbours": _neighbours,
    "export": _export,
    "evaluate": _evaluate,
    "report": _report,
    "prepare": _recipe,
    "check": _check,
    "baseline": _recipe,
    "recipes": _nothing,
    "explain": _explain,
    "schema": _nothing,
    "data": _data,
    "inspect": _inspect,
    "verify": _verify,
    "probe": _probe,
    **jobs.ARGUMENTS,
}


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds between 0 and 86,400")
    return seconds


def _file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: it must be a file in a folder that is there")
    return path


def _range(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    if not colon or not (first.isdecimal() and last.isdecimal()) or int(first) >= int(last):
        raise argparse.ArgumentTypeError(f"{text!r} is not A:B with A < B, such as 0:10 for the first ten steps")
    return int(first), int(last)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"Did you mean `muster {close[0]}`?" if close else f"The commands are {', '.join(COMMANDS)}."
    return f"there is no command {name!r}. {hint} `muster --help` shows them all."
