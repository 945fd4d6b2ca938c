"""From raw files to a prepared folder: once, in parallel, resumable, atomic, every row accounted for.

    python -m cluster.prepare RECIPE [key=value ...] [--json] [--alone] [--wait]

Under `srun` or `torchrun` the tasks make one data set together (`text/preparation/team.py`).

The folder's name is a fingerprint of the bytes of the sources, the settings that matter and the versions: the same
fingerprint means that there is nothing to do.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from cluster.config.load import load
from cluster.config.models import Pretrained
from cluster.config.pretrained import is_catalogued
from cluster.config.schema import Data, Recipe
from cluster.config.tasks import TaskKind
from cluster.data.asked import QUESTIONS
from cluster.data.durable import rename_folder
from cluster.data.manifest import MANIFEST, describe_file, open_prepared, write_manifest
from cluster.data.references import references_name
from cluster.data.verify import verify
from cluster.errors import DataError, InfrastructureError, Interrupted, MusterError, exit_code_of
from cluster.text.preparation import columns as all_columns
from cluster.text.preparation import merge
from cluster.text.preparation.budget import Budget
from cluster.text.preparation.claim import claimed
from cluster.text.preparation.parts import ROWS_PER_BLOCK, Job, Made, make_parts, spacy_without_torch
from cluster.text.preparation.progress import Progress, position_in
from cluster.text.preparation.splits import SPLITS, Assignment
from cluster.text.preparation.team import Team, silent, take_hold, team_of, wait_for_hold
from cluster.text.preparation.tell import tell, tell_remarks
from cluster.text.preparation.wanted import SourceFile, Wanted, fingerprint_of, wanted_by
from cluster.text.raw.read import blocks_of, resolve
from cluster.text.sets import minilm
from cluster.text.sets.catalogue import cache_folder, model_folder
from cluster.text.tokens.given import input_of
from cluster.text.tokens.pipeline import ENCODER, Encoder

# Below this, processes that each import spaCy (a second) cost more than they save.
SMALL_INPUT_BYTES = 4_000_000

Say = Callable[[str], None]
ALONE = Team()


def prepare(
    recipe: Recipe, say: Say, rows_per_block: int = ROWS_PER_BLOCK, team: Team = ALONE, *, waits: bool = False
) -> Path:
    """The prepared folder of a recipe: made if it is not there yet, checked to the last bit if it is.

    Two processes that want the same folder do not get in each other's way: one prepares, the other says so and leaves,
    or, with `waits`, stays until it is there.
    A preparation that was killed goes on where it was. Of a team, task 0 returns when the folder is there, the others
    when their share is done. Raises DataError and RecipeError (nothing is left behind then),
    InfrastructureError (finished parts are left, and used next time).
    """
    if isinstance(recipe.model, Pretrained) and is_catalogued(recipe.model.folder):
        minilm.fetch(model_folder(), say)
    wanted = wanted_by(recipe)
    files = find_sources(recipe.data, say)
    fingerprint = fingerprint_of(files, wanted)
    parent = _prepared_folders()
    _refuse_unfinished(parent / fingerprint)
    preparing = _Preparing(
        parent / f"{fingerprint}.partial", parent / fingerprint, files, wanted, say, rows_per_block, team
    )
    try:
        if team.task:
            return preparing.share()
        with claimed(parent / f"{fingerprint}.partial", parent / fingerprint, say if waits else None) as work:
            if work is None:
                verify(parent / fingerprint)
                tell(open_prepared(parent / fingerprint).report, say)
                say(f"already prepared: {parent / fingerprint}")
                return parent / fingerprint
            return preparing.whole()
    except KeyboardInterrupt:
        raise Interrupted(
            "Preparation was stopped. The parts that are finished are kept: the same command goes on."
        ) from None
    except OSError as error:
        raise InfrastructureError(
            f"Preparation could not write to {cache_folder()} ({error.strerror or error}). What was finished is kept: "
            "make room, or name another folder with MUSTER_CACHE, and start it again."
        ) from error


def _prepared_folders() -> Path:
    """Where prepared folders lie, made if it is not there. Raises DataError if it cannot be."""
    parent = cache_folder() / "prepared"
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except (NotADirectoryError, FileExistsError, FileNotFoundError, PermissionError) as error:
        raise DataError(
            f"The cache folder {parent} cannot be made ({error.strerror}): name another with MUSTER_CACHE=FOLDER."
        ) from error
    return parent


def _refuse_unfinished(final: Path) -> None:
    """A folder gets its name only when it is whole: one without a manifest was damaged, or is not muster's."""
    if final.exists() and not (final / MANIFEST).exists():
        raise DataError(
            f"{final} holds no {MANIFEST}, so it is damaged, or not what muster made: remove it, or move it away, and "
            "prepare again."
        )


def source_paths(data: Data, say: Say) -> list[tuple[int, Path]]:
    """Every source file with the split it is given for, in the order by which the `source` column numbers them."""
    found = [(0, path) for path in resolve(data.train, "train", say)]
    if data.validation not in ("auto", "none"):
        found += [(1, path) for path in resolve(data.validation, "validation", say)]
    if data.test not in ("auto", "none"):
        found += [(2, path) for path in resolve(data.test, "test", say)]
    return found


def find_sources(data: Data, say: Say) -> list[SourceFile]:
    """The source files with their hashes. Raises DataError."""
    files = []
    for slot, path in source_paths(data, say):
        try:
            status = path.stat()
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error
        files.append(SourceFile(slot, path, status.st_size, status.st_mtime_ns, digest))
    return files


@dataclass(frozen=True)
class _Preparing:
    """One preparation, in the folder `work`, which becomes `final`."""

    work: Path
    final: Path
    files: Sequence[SourceFile]
    wanted: Wanted
    say: Say
    rows_per_block: int
    team: Team

    def whole(self) -> Path:
        """All of it: the parts, waiting for those of other tasks, and what is made of them."""
        parts_folder, out = self.work / f"parts-{self.rows_per_block}", self.work / "out"
        parts_folder.mkdir(exist_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        kept = len(list(parts_folder.glob("part-*.npz")))
        if kept:
            self.say(f"going on with the {kept:,} parts of a preparation that was stopped")
        if self.team.tasks > 1:
            take_hold(self.work, self.team)
        try:
            with Progress(self.say) as progress:
                parts = self._make(progress, self.team.has)
                if self._others_are_silent(parts, progress):
                    self._make(progress, lambda part: not parts[part].exists())
                contents = _merged(parts, self.files, self.wanted, out, progress)
            _refuse_changed(self.files)
        except MusterError as error:
            if not isinstance(error, InfrastructureError):
                shutil.rmtree(self.work, ignore_errors=True)
            raise
        write_manifest(out, {"fingerprint": self.final.name, **contents})
        rename_folder(out, self.final)
        shutil.rmtree(self.work, ignore_errors=True)
        tell(contents["report"], self.say)
        return self.final

    def share(self) -> Path:
        """This task's parts alone."""
        if wait_for_hold(self.work, self.team, (self.final / MANIFEST).exists):
            with Progress(self.say) as progress:
                self._make(progress, self.team.has)
        return self.final

    def _make(self, progress: Progress, mine: Callable[[int], bool]) -> list[Path]:
        """Makes the parts that are `mine` by their number, but for those that are there; returns all parts."""
        folder, wanted = self.work / f"parts-{self.rows_per_block}", self.wanted
        paths = [file.path for file in self.files]
        ends = list(accumulate(file.size_bytes for file in self.files))
        parts: list[Path] = []

        def jobs() -> Iterator[Job]:
            read = 0
            for number, block in blocks_of(paths, wanted.data, self.rows_per_block):
                parts.append(folder / f"part-{len(parts):05d}.npz")
                if mine(len(parts) - 1):
                    # Before a file's last block comes, it may have been closed.
                    read = max(read, ends[number] - self.files[number].size_bytes + position_in(paths[number]))
                    yield Job(number, block, parts[-1], read / max(ends[-1], 1))

        told = False

        def done(made: Made) -> None:
            nonlocal told
            progress.rows(made.rows, made.share_read)
            if made.by_spacy and not told:
                told = True
                self.say(
                    f"text.language = {wanted.text.language!r}: its tokenizer looks at whole texts, so spaCy splits "
                    "one after the other; other languages are several times as fast."
                )

        small = sum(file.size_bytes for file in self.files) < SMALL_INPUT_BYTES
        progress.stage("tokenizing")
        workers = 0 if small else self.team.cores()
        make_parts(jobs(), wanted.data, wanted.text, wanted.task, workers, done, wanted.tokenizer)
        return parts

    def _others_are_silent(self, parts: Sequence[Path], progress: Progress) -> bool:
        others = [path for number, path in enumerate(parts) if not self.team.has(number)]
        if not others:
            return False
        progress.stage("waiting for the other tasks")
        if not silent(others, lambda there: progress.rows(0, there / len(others))):
            return False
        self.say("no part has come from the other tasks for long: making what is missing")
        return True


def _merged(
    parts: Sequence[Path], files: Sequence[SourceFile], wanted: Wanted, out: Path, progress: Progress
) -> dict[str, Any]:
    """Everything but the manifest into `out`; returns what the manifest is to say."""
    budget, scratch = Budget(wanted.data.memory_mib), out.parent / "columns"
    slots = [file.slot for file in files]
    columns = all_columns.gather(progress.through("gathering", parts), slots, wanted.task, scratch)
    all_columns.refuse_bad_rows(columns.rejected, columns.first_rejected, columns.rows, wanted.data.bad_rows)
    progress.stage("looking for duplicates")
    assignment, labels = all_columns.place(columns, wanted.data, wanted.task, budget.rows)
    encoder, distinct_words = wanted.encoder, None
    if encoder is None:
        encoder, distinct_words = merge.fit_encoder(
            progress.through("counting words", parts),
            columns,
            assignment.places_N,
            wanted.text,
            scratch,
            budget.words,
            input_of(wanted.data, wanted.task),
        )
    entries, splits = merge.write_splits(
        progress.through("writing shards", parts), columns, assignment.places_N, labels, encoder, wanted.task, out
    )
    encoder.save(out)
    documents = sum(split["documents"] for split in splits.values())
    if documents + assignment.dropped + columns.rejected != columns.rows:
        raise AssertionError(
            f"{columns.rows} rows became {documents} documents, {assignment.dropped} dropped: some were lost"
        )
    return {
        **merge.what_it_is(encoder, labels, wanted.task),
        "splits": entries,
        "files": described(out),
        "report": {
            "rows": columns.rows,
            "documents": documents,
            "rejected": columns.rejected,
            "rejected_rows": [list(rejection) for rejection in columns.first_rejected],
            "duplicates": _duplicates(assignment),
            "splits": splits,
            "unknown_labels": {
                name: split["unknown_labels"] for name, split in splits.items() if split["unknown_labels"]
            },
            "tokens": wanted.text.tokens,
            "words": len(encoder.words),
            "distinct_words": distinct_words,
            "classes": len(labels),
            "max_tokens": wanted.text.max_tokens,
            "tools": encoder.tools,
            "spacy": encoder.spacy_version,
            "sources": [
                {"split": SPLITS[file.slot], "path": str(file.path), "bytes": file.size_bytes, "sha256": file.sha256}
                for file in files
            ],
        },
    }


def described(folder: Path) -> list[dict[str, Any]]:
    """Manifest entries of the files that are no columns."""
    questions = (f"{split}/{QUESTIONS}" for split in SPLITS)
    names = [ENCODER, *(one for one in (*map(references_name, SPLITS), *questions) if (folder / one).exists())]
    return [describe_file(folder, name) for name in names]


def _duplicates(assignment: Assignment) -> dict[str, int]:
    return {
        "dropped": assignment.dropped,
        "repeated_in_train": assignment.repeated_in_train,
        "repeated_with_other_label": assignment.repeated_with_other_label,
        **{f"{split}_also_in_train": count for split, count in assignment.in_train_too.items()},
    }


def _refuse_changed(files: Sequence[SourceFile]) -> None:
    """A source that is written to while it is read would be kept under the fingerprint of what it was before."""
    for file in files:
        try:
            status = file.path.stat()
        except OSError as error:
            raise DataError(f"{file.path} went while it was being prepared ({error.strerror}).") from error
        if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.changed_ns):
            raise DataError(f"{file.path} was changed while it was being prepared: prepare again once it rests.")


def prepare_evaluation(
    encoder: Encoder,
    labels: Sequence[str],
    files: Sequence[Path],
    data: Data,
    folder: Path,
    say: Say,
    *,
    task: TaskKind,
) -> dict[str, Any]:
    """Encodes foreign files as a model was trained on: a prepared folder with one split, "test".

    Returns its report, with `unknown_labels` as {label: documents}.

    `labels` are the model's; others are -1 (for multilabel left out), and counted by name in the report. `folder` must
    not exist, or be empty. Rows that cannot be read count against `data.bad_rows`. Raises DataError; then nothing is
    left behind.
    """
    work = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        contents = merge.encode_files(files, data, encoder, labels, task, work)
        encoder.save(work)
        digest = hashlib.sha256(json.dumps(contents["splits"], sort_keys=True).encode()).hexdigest()
        write_manifest(work, {"fingerprint": digest, "files": described(work), **contents})
        rename_folder(work, folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    tell_remarks(contents["report"], say)
    return {**contents["report"], "unknown_labels": contents["report"]["unknown_labels"].get("test", {})}


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code. The last line of standard output is JSON."""
    parser = argparse.ArgumentParser(
        prog="muster prepare", description="Turn the texts of a recipe into prepared data."
    )
    parser.add_argument("recipe", metavar="RECIPE", help="name of a shipped recipe, or a path")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="settings that beat the recipe's")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: standard output is JSON anyway")
    parser.add_argument(
        "--alone", action="store_true", help="prepare all of it, even if srun or torchrun started other tasks too"
    )
    parser.add_argument(
        "--wait", action="store_true", help="if another process prepares the same data, wait for it instead of leaving"
    )
    options = parser.parse_intermixed_args(arguments)

    def command() -> None:
        recipe = load(options.recipe, options.overrides)
        spacy_without_torch(recipe.text)
        team = ALONE if options.alone else team_of(os.environ)
        folder = prepare(recipe, to_stderr, team=team, waits=options.wait)
        if team.task:  # the rest is task 0's
            print(json.dumps({"prepared": str(folder), "task": team.task, "tasks": team.tasks}))
            return
        print(json.dumps({"prepared": str(folder), "report": dict(open_prepared(folder).report)}, ensure_ascii=False))

    return exit_code_of(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
