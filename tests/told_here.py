"""The training program in a rank of the pool, and what it says: no process is started for each part of muster."""

import contextlib
import faulthandler
import tempfile


def train_and_tell(recipe, run):
    """The exit code, and what a person would read. On one rank: what fails in a group of several leaves it behind."""
    from cluster.train import main

    with tempfile.TemporaryFile("w+") as told:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            code = main([recipe, "--run", run])
        faulthandler.enable()  # on the right file again
        told.seek(0)
        return code, told.read()
