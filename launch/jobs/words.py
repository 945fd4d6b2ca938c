"""What a person types to submit a run and to see to it: the words of these commands, which are loaded when they run."""

import argparse
from collections.abc import Callable

Add = Callable[[argparse.ArgumentParser], None]


def _submit(built: argparse.ArgumentParser) -> None:
    built.add_argument(
        "recipe", metavar="RECIPE", help="a shipped recipe (`muster recipes`) or the path of a .toml file"
    )
    built.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="settings, as in train.epochs=3")
    built.add_argument("--nodes", type=_whole, default=1, metavar="N", help="how many nodes (default: 1)")
    built.add_argument("--time", default="", metavar="T", help="time limit, as sbatch takes it: 90, 12:00:00, 2-00")
    built.add_argument("--array", default="", metavar="A", help="a run for each task: 0-7, 1,3,5, 1-100%%8")
    built.add_argument(
        "--run", metavar="DIR", help="folder of the new run (default: runs/RECIPE, in an array runs/RECIPE-{task})"
    )
    built.add_argument("--dry-run", action="store_true", help="show the command and the script, submit nothing")
    built.set_defaults(sbatch=[])
    built.usage = "muster submit RECIPE [key=value ...] [options] [-- options of sbatch]"


def _status(built: argparse.ArgumentParser) -> None:
    built.add_argument("run", nargs="?", default="", metavar="RUN", help="folder of a run (default: all in runs/)")


def _logs(built: argparse.ArgumentParser) -> None:
    built.add_argument("run", metavar="RUN", help="folder of a run")
    built.add_argument("--rank", type=_number, metavar="N", help="of this rank alone (default: all, each line named)")
    built.add_argument("--attempt", type=_number, metavar="N", help="of this attempt (default: the last one)")
    built.add_argument("-f", "--follow", action="store_true", help="go on until the run ends, over all its attempts")


def _stop(built: argparse.ArgumentParser) -> None:
    built.add_argument("run", metavar="RUN", help="folder of a run")
    built.add_argument("--now", action="store_true", help="do not save a checkpoint first")
    built.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=True, help="until it has ended (the default), or not"
    )


def _watch(built: argparse.ArgumentParser) -> None:
    built.add_argument("run", metavar="RUN", help="folder of a run")


ARGUMENTS: dict[str, Add] = {
    "submit": _submit,
    "status": _status,
    "logs": _logs,
    "stop": _stop,
    "watch": _watch,
}


def run(name: str, options: argparse.Namespace) -> int:
    """One of these commands; returns its exit code."""
    match name:
        case "submit":
            from launch.jobs.submit import submit

            return submit(options)
        case "stop":
            from launch.jobs.stop import stop

            return stop(options)
        case "status":
            from launch.live.status import status

            return status(options)
        case "logs":
            from launch.live.logs import logs

            return logs(options)
        case _:
            from launch.live.watching import watch

            return watch(options)


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, at least 1")
    return int(text)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, at least 0")
    return int(text)
