"""Folders that Hugging Face `datasets` saved with `save_to_disk`: which files hold which split.

They are read with pyarrow alone: a folder holds Arrow streams, and JSON that says what is in them.
"""

import json
from pathlib import Path
from typing import Any

from cluster.errors import DataError

_DICT, _STATE, _INFO = "dataset_dict.json", "state.json", "dataset_info.json"


def is_saved(folder: Path) -> bool:
    """Did `datasets` save this folder?"""
    return (folder / _DICT).is_file() or (folder / _STATE).is_file()


def saved_files(folder: Path, slot: str) -> list[Path]:
    """The Arrow files of one split: of the folder, or of the split of that name in it.

    Raises DataError: no such split, a folder that is damaged, or that keeps rows in an order of its own.
    """
    if (folder / _DICT).is_file():
        splits = _read(folder / _DICT).get("splits")
        if not isinstance(splits, list):
            raise DataError(f"{folder / _DICT} is damaged: it names no splits")
        if slot not in splits:
            raise DataError(
                f"the dataset {folder} has no split named {slot} (it has {', '.join(map(str, splits))}): name the one "
                f'you mean (data.{slot} = "{folder}/{next(iter(splits), "SPLIT")}")'
                + ("" if slot == "train" else f', or data.{slot} = "auto" or "none"')
            )
        folder = folder / slot
    state = _read(folder / _STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise DataError(f"{folder} keeps its rows in an order beside them: load it with `datasets` and save it again.")
    try:
        names = [str(file["filename"]) for file in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{folder / _STATE} is damaged: it names no data files") from error
    for name in names:
        if Path(name).name != name:
            raise DataError(f"{folder / _STATE} names a file outside its folder: {name!r}")
    return [folder / name for name in names]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is damaged: it holds no object")
    return found
