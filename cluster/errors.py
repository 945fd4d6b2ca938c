"""Every error muster raises on purpose, drawn once, with the exit code that each one means.

MusterError
├── InputError (2)              something the user gave is wrong; nothing was started, nothing was changed
│   ├── RecipeError             the recipe or an override
│   ├── DataError               raw data, prepared data
│   ├── DeviceError             a device that was asked for is not there
│   ├── PlanError               a setting that the hardware or another setting cannot honour
│   └── RunError                a run folder or what is in it
├── TrainingError (93)          the run itself is at fault: starting it again would fail again
│   └── NonFiniteError          a loss, gradient or weight is not a finite number
├── InfrastructureError (75)    the machine is at fault: try again, or elsewhere
└── Interrupted (85)            stopped on request after a checkpoint: `muster resume` goes on

A message gives the rule, the value and the way out.
"""

import os
import sys
from collections.abc import Callable

EXIT_DONE = 0
EXIT_WRONG_INPUT = 2
EXIT_INFRASTRUCTURE = 75
EXIT_CHECKPOINTED = 85
EXIT_DO_NOT_REQUEUE = 93
EXIT_CTRL_C = 130  # a shell's habit: 128 + SIGINT


class MusterError(Exception):
    """Base of all; `exit_code` is what the process that reports it leaves with."""

    exit_code = EXIT_DO_NOT_REQUEUE


class InputError(MusterError):
    exit_code = EXIT_WRONG_INPUT


class RecipeError(InputError):
    """The recipe, or an override on the command line, does not hold."""


class DataError(InputError):
    """Raw or prepared data cannot be read, or is not what it says it is."""


class DeviceError(InputError):
    """The device that was asked for is not on this machine."""


class PlanError(InputError):
    """The settings cannot be brought together with the hardware, or with each other."""


class RunError(InputError):
    """A run folder cannot be used as asked."""


class TrainingError(MusterError):
    exit_code = EXIT_DO_NOT_REQUEUE


class NonFiniteError(TrainingError):
    """A loss, a gradient or a weight is NaN or infinite."""


class InfrastructureError(MusterError):
    exit_code = EXIT_INFRASTRUCTURE


class Interrupted(MusterError):
    """A signal asked the run to stop; a checkpoint was committed first."""

    exit_code = EXIT_CHECKPOINTED


def exit_code_of(command: Callable[[], int | None]) -> int:
    """What a program leaves with after its command: what that returns (None is 0), or the code of the MusterError that
    it raises, which is told on standard error. A reader who leaves (`| head`) has seen enough."""
    try:
        code = command()
        sys.stdout.flush()
    except MusterError as error:
        print(f"muster: {error}", file=sys.stderr)
        return error.exit_code
    except PermissionError as error:
        print(f"muster: {without_right(error)}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it leaves
        return EXIT_DONE
    except KeyboardInterrupt:
        return EXIT_CTRL_C
    return EXIT_DONE if code is None else code


def without_right(error: PermissionError) -> str:
    """What is said where a file or folder that the user named, or one on the way to it, may not be used."""
    return (
        f"{error.filename or 'a file'} may not be used by this user ({error.strerror}): `namei -l` shows which folder "
        "on the way refuses it. Change its rights, or name another."
    )
