"""What tests share: a pool of ranks, a small corpus of our own, and the `muster` command."""

import importlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

# The long series run in full in `make soak`; elsewhere the same sample each time, so that a failure is no accident.
SOAK = bool(os.environ.get("MUSTER_SOAK"))
hypothesis.settings.register_profile("sample", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=3000)
hypothesis.settings.load_profile("soak" if SOAK else "sample")

# A shell that starts us in the background has us ignore Ctrl-C, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

long_series = pytest.mark.skipif(not SOAK, reason="one of the long series: make soak runs it")
ROOT = Path(__file__).parent.parent


def sampled(cases, *always):
    """Parameters of which some are always run, and the others in the long series."""
    return [pytest.param(case, marks=() if case in always else long_series) for case in cases]


MOST_RANKS = 3
CALL_SECONDS = 120


# The longest first, so that at the end no process is left with one of them.
SLOW = (
    "cluster_of_two/test_train.py", "supervision/test_faults.py", "test_commands.py", "test_bad_input.py",
    "test_api.py", "models/test_family.py", "training/test_kill.py", "test_tagging.py", "test_every_task.py",
    "cluster_of_two/test_submitted.py", "test_rewriting.py", "test_answering.py", "training/test_damaged_data.py",
    "test_prepare.py", "models/test_pretrained.py", "test_speaker.py", "training/test_agreement.py",
    "cluster_of_two/test_cables.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """Several processes share the tests (`make test`); a file stays in one of them, for its fixtures."""
    ranks = {(ROOT / "tests" / name): place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: ranks.get(item.path, len(SLOW)))


class Pool:
    """Real processes that form gloo groups of 1 to 3 ranks on request, started once for the whole test run."""

    def __init__(self):
        self.members = [self._start() for _ in range(MOST_RANKS)]

    def _start(self):
        read, write = os.pipe()
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "pool_rank.py"), str(write)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[write],
            cwd=ROOT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )
        os.close(write)
        return process, os.fdopen(read)

    def run(self, ranks, function, **arguments):
        """Call a function of a test file on so many ranks; its arguments and results travel as JSON. Results by
        rank."""
        from torch.distributed import TCPStore

        # A store for each call: in one that is reused, gloo finds the addresses of the group before.
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        for rank, (process, _) in enumerate(self.members[:ranks]):
            environment = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(ranks),
                "LOCAL_WORLD_SIZE": str(ranks),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(store.port),
                "TORCHELASTIC_USE_AGENT_STORE": "True",
            }
            call = {"file": function.__code__.co_filename, "function": function.__name__}
            process.stdin.write(json.dumps(call | {"arguments": arguments, "environment": environment}) + "\n")
            process.stdin.flush()
        answers = [json.loads(answers.readline()) for _, answers in self.members[:ranks]]
        for rank, answer in enumerate(answers):
            if "error" in answer:
                pytest.fail(f"rank {rank}: {answer['error']}")
        return [answer["result"] for answer in answers]

    def close(self):
        for process, answers in self.members:
            process.stdin.close()
            process.wait(timeout=30)
            answers.close()


@pytest.fixture(scope="session")
def pool():
    pool = Pool()
    yield pool
    pool.close()


@pytest.fixture(scope="session", autouse=True)
def cache_of_prepared_data(tmp_path_factory):
    """Data sets stay in the user's cache, so that they are fetched once; what tests prepare goes to a folder of
    theirs."""
    users = Path(os.environ.get("MUSTER_CACHE") or "~/.cache/muster").expanduser() / "data"
    users.mkdir(parents=True, exist_ok=True)
    cache = tmp_path_factory.mktemp("cache")
    (cache / "data").symlink_to(users)
    os.environ["MUSTER_CACHE"] = str(cache)
    return cache


@pytest.fixture(scope="session")
def slurm():
    """A real Slurm of two nodes on this machine: see `cluster_of_two/slurm.py`."""
    from tests.cluster_of_two.slurm import Slurm, why_not

    if why := why_not():
        pytest.skip(why)
    with Slurm() as slurm:
        yield slurm


GOOD = ["bright", "warm", "clever", "honest", "lively", "tender", "graceful", "witty"]
BAD = ["dull", "cold", "clumsy", "tedious", "hollow", "shrill", "careless", "stale"]
PLAIN = [
    "the",
    "a",
    "film",
    "story",
    "actor",
    "scene",
    "and",
    "with",
    "of",
    "in",
    "this",
    "that",
    "day",
    "house",
    "river",
    "road",
    "people",
    "voice",
    "light",
]


def write_corpus(path, documents, seed, classes=("good", "bad"), noise=0.1, longest=40):
    """JSON lines of made-up sentences in which a few words give the label away."""
    chance = random.Random(seed)
    with open(path, "w") as file:
        for _ in range(documents):
            label = chance.choice(classes)
            words = GOOD if (label == "good") != (chance.random() < noise) else BAD
            length = chance.randint(3, longest)
            text = [chance.choice(words if chance.random() < 0.2 else PLAIN) for _ in range(length)]
            file.write(json.dumps({"text": " ".join(text), "label": label}) + "\n")
    return path


def tagged_sentences(documents, seed, longest=15):
    """Words, the place of a marked one, and labels: runs of words of praise or of blame behind that place are spans."""
    chance = random.Random(seed)
    for _ in range(documents):
        kinds = chance.choices([GOOD, BAD, PLAIN], [2, 2, 6], k=chance.randint(3, longest))
        predicate = chance.randrange(len(kinds))
        labels, before = [], "O"
        for place, kind in enumerate(kinds):
            name = "" if kind is PLAIN or place <= predicate else "PRAISE" if kind is GOOD else "BLAME"
            labels.append(f"{'I' if before[2:] == name else 'B'}-{name}" if name else "O")
            before = labels[-1]
        yield [chance.choice(kind) for kind in kinds], predicate, labels


@pytest.fixture(scope="session")
def tagged_corpus(tmp_path_factory):
    """A folder with train, validation and test as .jsonl (tokens, predicate, tags) and as .conll with roles."""
    folder = tmp_path_factory.mktemp("tagged")
    for seed, (split, documents) in enumerate({"train": 400, "validation": 60, "test": 101}.items()):
        made = list(tagged_sentences(documents, seed))
        rows = [{"tokens": words, "predicate": place, "tags": labels} for words, place, labels in made]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"{split}.conll").write_text("\n".join(_in_brackets(*one) for one in made))
    return folder


def _in_brackets(words, predicate, labels):
    """A sentence as CoNLL-2005 has it: word, predicate, the arguments of that one predicate."""
    lines = []
    for place, (word, label) in enumerate(zip(words, labels, strict=True)):
        ends = place + 1 == len(labels) or not labels[place + 1].startswith("I-")
        cell = f"({label[2:]}*" if label.startswith("B-") else "*"
        cell = "(V*)" if place == predicate else cell + (")" if label != "O" and ends else "")
        lines.append(f"{word} {word if place == predicate else '-'} {cell}\n")
    return "".join(lines)


@pytest.fixture(scope="session")
def tagging_recipe_of(tagged_corpus, recipe_of):
    """As `recipe_of`, for words with labels; `ending` is that of the files."""

    def write(kind, ending="jsonl", **sections):
        read = {"roles": "3:"} if ending == "conll" else {"text": "tokens", "label": "tags", "predicate": "predicate"}
        data = {split: str(tagged_corpus / f"{split}.{ending}") for split in ("train", "validation", "test")}
        own = {"factory": "tests.models.own:build_tagger", "size": "tests.models.own:size_of_tagger"}
        model = own if kind == "custom" else {}
        sections["model"] = model | sections.get("model", {})
        sections["data"] = data | read | sections.get("data", {})
        return recipe_of(kind, task={"kind": "tag", "spans": True}, **sections)

    return write


def asked_things(questions, seed, longest=8):
    """Question, context and answers: what a box holds, by its colour; some colours are on no box."""
    chance = random.Random(seed)
    colours = [f"colour{number}" for number in range(12)]
    for number in range(questions):
        boxes = chance.sample(colours, chance.randint(2, longest))
        held = [" ".join(chance.sample(GOOD + BAD, chance.randint(1, 2))) for _ in boxes]
        context = " ".join(f"The {box} box has {what}." for box, what in zip(boxes, held, strict=True))
        box = chance.choice(colours)
        answers = []
        if box in boxes:
            what = held[boxes.index(box)]
            start = context.index(f"{box} box has ") + len(f"{box} box has ")
            answers = [{"text": what, "answer_start": start}]
        question = f"What has the {box} box?"
        yield {"id": f"{seed}-{number}", "question": question, "context": context, "answers": answers}


@pytest.fixture(scope="session")
def asked_corpus(tmp_path_factory):
    """A folder with train, validation and test as .jsonl and as .json in the form of SQuAD 2.0."""
    folder = tmp_path_factory.mktemp("asked")
    for seed, (split, questions) in enumerate({"train": 400, "validation": 60, "test": 101}.items()):
        made = list(asked_things(questions, seed))
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
        paragraphs = [
            {
                "context": row["context"],
                "qas": [{k: row[k] for k in ("id", "question", "answers")} | {"is_impossible": not row["answers"]}],
            }
            for row in made
        ]
        articles = [{"title": f"boxes {n}", "paragraphs": paragraphs[n::3]} for n in range(3)]
        (folder / f"{split}.json").write_text(json.dumps({"version": "v2.0", "data": articles}))
    return folder


@pytest.fixture(scope="session")
def asking_recipe_of(asked_corpus, recipe_of):
    """As `recipe_of`, for questions about a context, read in windows that many contexts are too long for."""

    def write(kind, ending="jsonl", **sections):
        data = {split: str(asked_corpus / f"{split}.{ending}") for split in ("train", "validation", "test")}
        own = {"factory": "tests.models.own:build_tagger", "size": "tests.models.own:size_of_tagger"}
        sections["model"] = (own if kind == "custom" else {}) | sections.get("model", {})
        sections["data"] = data | sections.get("data", {})
        windows = {"window_tokens": 32, "stride_tokens": 12, "question_tokens": 12, "answer_tokens": 4}
        sections["task"] = {"kind": "answer"} | windows | sections.get("task", {})
        return recipe_of(kind, **sections)

    return write


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A folder with train.jsonl (400), validation.jsonl (60) and test.jsonl (101 sentences)."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "train.jsonl", 400, seed=1)
    write_corpus(folder / "validation.jsonl", 60, seed=2)
    write_corpus(folder / "test.jsonl", 101, seed=3)
    return folder


MODELS = {
    "mlp": {"kind": "mlp", "hidden": [16]},
    "lstm": {"kind": "lstm", "embedding": 8, "hidden": 16},
    "linear": {"kind": "linear"},
    "cnn": {"kind": "cnn", "embedding": 8, "filters": 4, "widths": [1, 2, 3]},
    "gru": {"kind": "gru", "embedding": 8, "hidden": 8, "bidirectional": True, "pooling": "attention"},
    "transformer": {"kind": "transformer", "embedding": 8, "heads": 2, "feed_forward": 16, "dropout": 0.3},
    "gpt": {"kind": "gpt", "context": 16, "embedding": 16, "heads": 4, "key_heads": 2, "layers": 2, "feed_forward": 24},
    "bert": {"kind": "bert", "context": 16, "embedding": 16, "heads": 2, "layers": 2, "feed_forward": 24},
    "skipgram": {"kind": "skipgram", "embedding": 8, "subsample": 0.05},
    "pretrained": {"kind": "pretrained"},
    "seq2seq": {
        "kind": "seq2seq", "embedding": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 2, "feed_forward": 24,
    },
    "seq2seq-lstm": {"kind": "seq2seq-lstm", "embedding": 12, "hidden": 16, "layers": 2},
    "custom": {
        "kind": "custom",
        "factory": "tests.models.own:build",
        "size": "tests.models.own:size",
        "options": {"width": 8},
    },
}  # fmt: skip


TASKS = {
    "gpt": "language", "bert": "language", "seq2seq": "rewrite", "seq2seq-lstm": "rewrite", "skipgram": "embed",
}  # fmt: skip
"""What a kind of model is for, if not to classify."""


@pytest.fixture(scope="session")
def pretrained_folder(tmp_path_factory):
    """Writes a folder as transformers saves it, of a small model with chance weights: pretrained_folder("gpt2")."""
    from tests.models.folders import write_folder

    folder, made = tmp_path_factory.mktemp("pretrained"), {}

    def write(family):
        if family not in made:
            made[family] = write_folder(folder / family, family, GOOD + BAD + PLAIN)
        return made[family]

    return write


@pytest.fixture(scope="session")
def recipe_of(corpus, pretrained_folder, tmp_path_factory):
    """Writes a recipe for the small corpus; keyword arguments are whole sections, merged over small defaults."""
    import tomli_w

    folder = tmp_path_factory.mktemp("recipes")

    def write(kind="mlp", **sections):
        recipe = {
            "data": {name: str(corpus / f"{name}.jsonl") for name in ("train", "validation", "test")},
            "model": MODELS[kind] | ({"folder": str(pretrained_folder("bert"))} if kind == "pretrained" else {}),
            "task": {"kind": TASKS.get(kind, "classify")},
            "train": {"steps": 20, "step_size": "32 examples", "log_steps": 1, "checkpoint_steps": 10},
            "optim": {"kind": "adagrad"} if kind == "skipgram" else {},
            "evaluate": {"baseline": False},
            "launch": {"device": "cpu"},
        }
        for section, settings in sections.items():
            recipe[section] = recipe.get(section, {}) | settings
        if recipe["task"]["kind"] == "rewrite":
            recipe["data"].setdefault("target", "label")
        path = folder / f"recipe-{len(list(folder.iterdir()))}.toml"
        path.write_text(tomli_w.dumps(recipe))
        return path

    return write


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="session")
def muster():
    """Runs the real command: muster("train", recipe, "--run", folder) -> Ended."""

    def call(*arguments, timeout=120, stdin=None, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "launch", *map(str, arguments)],
            capture_output=True,
            text=True,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            timeout=timeout,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def here():
    """Those of our programs that `muster` turns into, in this process, where torch is loaded already:
    here("predict", run, "a text") -> Ended."""
    importlib.import_module("torch")  # which a program that only prepares would keep out of its process

    def call(program, *arguments, stdin=""):
        main = importlib.import_module(f"cluster.{program}").main
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            try:
                code = main(list(map(str, arguments)))
            except SystemExit as left:  # argparse, once it has said why
                code = left.code
        for stream in (out, err):
            stream.seek(0)
        return Ended(code, out.read(), err.read())

    return call


def records(run, kind):
    """The lines of a run's metrics.jsonl of one kind."""
    lines = (json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture(scope="session")
def metrics_of():
    return records


@pytest.fixture
def made_run(tmp_path):
    """Writes the folder of a run: see `made_run.py`."""
    from tests.made_run import write_run

    return lambda **how: write_run(tmp_path, **how)
