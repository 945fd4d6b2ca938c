"""A finished run's model, or its data, in a form that other programs read.

python -m cluster.export RUN --format huggingface|onnx|word2vec|npz --output PATH [--weights WEIGHTS] [--json]
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from cluster.config.models import Bert, Gpt, Model, Pretrained, Seq2Seq
from cluster.errors import EXIT_DONE, DataError, RunError, exit_code_of
from cluster.runs import model_folder, read_json

if TYPE_CHECKING:
    from cluster.matrices import Weights

FORMATS = ("huggingface", "onnx", "word2vec", "npz")


def export_huggingface(run: Path, output: Path) -> dict[str, Any]:
    """Writes a folder that `transformers` loads: {"output", "architecture", "tokenizer"}.

    All or nothing. Raises RunError for a run that has not finished, or whose model Hugging Face has no equal of;
    DataError for a folder that holds something, or cannot be written.
    """
    from cluster.predictor import verify_model

    folder = model_folder(run)
    verify_model(folder)
    description = read_json(folder / "model.json")
    config = TypeAdapter(Model).validate_python(description["model"])
    if not isinstance(config, Gpt | Bert | Seq2Seq | Pretrained):
        raise RunError(
            f'{run} holds a model of kind "{config.kind}", which transformers has no equal of: only language models '
            '("gpt", "bert"), Transformers that write texts of others ("seq2seq") and pretrained ones can be exported '
            "so. Its weights are in model/weights.safetensors."
        )
    with _writing(output) as work:
        if isinstance(config, Pretrained):
            architecture, tokenizer = _write_pretrained(folder, work), True
        else:
            architecture, tokenizer = _write_own(folder, config, int(description["vocabulary_rows"]), work)
    return {"output": str(output), "architecture": architecture, "tokenizer": tokenizer}


def _write_pretrained(folder: Path, work: Path) -> str:
    """A model of transformers' own, in its format: its architecture."""
    from cluster.huggingface import save_pretrained

    architecture, files = save_pretrained(folder, work)
    for name, contents in files.items():
        _write(work / name, contents)
    return architecture


def _write_own(folder: Path, config: Gpt | Bert | Seq2Seq, rows: int, work: Path) -> tuple[str, bool]:
    """A model of ours under the names of transformers: its architecture there, and whether its tokenizer comes
    along. Raises RunError."""
    from safetensors.torch import load_file, save_file

    from cluster import huggingface, pegasus
    from cluster.text.tokens.pipeline import Encoder

    weights, encoder = load_file(folder / "weights.safetensors"), Encoder.load(folder)
    files: dict[str, Any] = {}
    if isinstance(config, Gpt):
        named, settings = huggingface.llama_weights(weights, config), huggingface.llama_config(config, rows)
        specials, most_tokens = huggingface.CAUSAL, config.context
    elif isinstance(config, Bert):
        named, settings = huggingface.bert_weights(weights, config), huggingface.bert_config(config, rows)
        specials, most_tokens = huggingface.MASKED, config.context
    else:
        places = pegasus.places_of(encoder.text.max_tokens)
        named, settings = pegasus.pegasus_weights(weights, config, places), pegasus.pegasus_config(config, rows, places)
        specials, most_tokens = huggingface.PAIRS, encoder.text.max_tokens + 1  # the end
        files["generation_config.json"] = pegasus.pegasus_generation(rows, places)
    tokenizer = huggingface.tokenizer_files(encoder, specials, most_tokens)
    marks = ["<mark>", "<end>" if isinstance(config, Seq2Seq) else "<mask>"]
    files |= {"config.json": settings, **(tokenizer or {"vocabulary.json": _vocabulary(encoder.words) + marks})}
    save_file(named, work / "model.safetensors", metadata={"format": "pt"})
    for name, contents in files.items():
        _write(work / name, contents)
    return settings["architectures"][0], bool(tokenizer)


def export_onnx(run: Path, output: Path) -> dict[str, Any]:
    """Writes a folder with `model.onnx`, what its inputs are, the vocabulary and the encoder: {"output", "inputs",
    "compared"}.

    All or nothing. Raises RunError for a run that has not finished, or whose model no ONNX graph can be made of;
    DataError for a folder that holds something, or cannot be written, or without the package onnx.
    """
    from cluster.onnx_graph import write_graph
    from cluster.predictor import verify_model
    from cluster.text.tokens.pipeline import Encoder

    folder = model_folder(run)
    verify_model(folder)
    encoder = Encoder.load(folder)
    with _writing(output) as work:
        about = write_graph(folder, work)
        encoder.save(work)
        _write(work / "vocabulary.json", _vocabulary(encoder.words))
    return {"output": str(output), "inputs": [one["name"] for one in about["inputs"]], "compared": about["compared"]}


def export_npz(source: Path, output: Path, weights: "Weights | Literal['auto']") -> dict[str, Any]:
    """Writes a folder with a sparse matrix for each split of prepared data, or of a run's: {"output", "weights",
    "words", "labels", "splits"}; see `write_matrices` for `weights` and for what lies in the folder.

    All or nothing. Raises RunError for a run that is none; DataError for data that is none, is damaged, or has no such
    weights, and for a folder that holds something, or cannot be written.
    """
    from cluster.matrices import write_matrices

    with _writing(output) as work:
        return {"output": str(output), **write_matrices(source, weights, work)}


def _vocabulary(words: Sequence[str]) -> list[str]:
    """What each row of the embeddings stands for."""
    return ["<pad>", "<unk>", *words]


def _write(path: Path, contents: Any) -> None:
    path.write_text(json.dumps(contents, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _writing(output: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name at the end. Raises DataError."""
    work = _begun(output)
    try:
        yield work
        _finished(work, output)
    except OSError as error:
        raise DataError(f"--output {output} cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def export_word2vec(run: Path, output: Path) -> dict[str, Any]:
    """Writes word vectors as word2vec's text, which gensim (KeyedVectors.load_word2vec_format) and `model.vectors`
    read: {"output", "words", "width", "left_out"}.

    All or nothing. Raises RunError for a run of another task, DataError for a file that is there or cannot be written.
    """
    from cluster.predictor import verify_model
    from cluster.wordvectors import WordVectors

    verify_model(model_folder(run))
    vectors = WordVectors.of_run(run)
    if output.exists():
        raise DataError(f"--output {output} is there already: name a file that is not.")
    if not output.absolute().parent.is_dir():
        raise DataError(f"--output {output}: there is no folder {output.absolute().parent}.")
    beside = output.absolute().parent / f".{output.name}.{os.getpid()}.partial"
    try:
        with open(beside, "x", encoding="utf-8", errors="replace") as file:
            written = vectors.write(file)
        os.replace(beside, output)
    except OSError as error:
        raise DataError(f"--output {output} cannot be written ({error.strerror or error}).") from error
    finally:
        beside.unlink(missing_ok=True)
    left_out = len(vectors) - written
    return {"output": str(output), "words": written, "width": vectors.vectors.shape[1], "left_out": left_out}


def _begun(output: Path) -> Path:
    """A folder beside the one that is wanted, which must not hold anything."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DataError(f"--output {output} is there already: name a folder that is not, or an empty one.")
    if not output.absolute().parent.is_dir():
        raise DataError(f"--output {output}: there is no folder {output.absolute().parent}.")
    work = output.absolute().parent / f".{output.name}.{os.getpid()}.partial"
    try:
        work.mkdir()
    except OSError as error:
        raise DataError(f"--output {output} cannot be written ({error.strerror}).") from error
    return work


def _finished(work: Path, output: Path) -> None:
    from cluster.data.durable import rename_folder

    rename_folder(work, output.absolute())


def _told(made: dict[str, Any], as_json: bool) -> int:
    """What became of word vectors."""
    words = f"{made['output']}: {made['words']:,} words, {made['width']} numbers each"
    print(json.dumps(made) if as_json else words)
    if made["left_out"]:
        print(f"muster: {made['left_out']:,} words hold white space and were left out.", file=sys.stderr)
    return EXIT_DONE


def _matrices(options: argparse.Namespace) -> int:
    made = export_npz(options.run, options.output, options.weights or "auto")
    if options.json:
        print(json.dumps(made))
        return EXIT_DONE
    print(f"{made['output']}: {made['weights']} weights of {made['words']:,} words (vocabulary.json)")
    for name, split in made["splits"].items():
        print(f"  {name}.npz  {split['documents']:,} documents, {split['values']:,} values")
    return EXIT_DONE


def _run(options: argparse.Namespace) -> int:
    if options.format == "npz":
        return _matrices(options)
    if options.weights is not None:
        raise DataError(f"--weights {options.weights}: weights of words are for --format npz alone; leave it out.")
    if options.format == "word2vec":
        return _told(export_word2vec(options.run, options.output), options.json)
    made = (export_onnx if options.format == "onnx" else export_huggingface)(options.run, options.output)
    if options.json:
        print(json.dumps(made))
        return EXIT_DONE
    if options.format == "onnx":
        print(f"{made['output']}: model.onnx, which takes {', '.join(made['inputs'])} (inputs.json)")
        told = made["compared"]
        if told is None:
            print("muster: not compared with the model: onnxruntime is not installed.", file=sys.stderr)
        else:
            print(
                f"answers at most {told['largest_difference']:.1e} from the model's (onnxruntime {told['onnxruntime']})"
            )
        return EXIT_DONE
    print(f"{made['output']}: {made['architecture']} for transformers")
    if not made["tokenizer"]:
        print(
            'muster: without a tokenizer, which transformers has for text.tokens = "bpe" alone; vocabulary.json says '
            "what each row is.",
            file=sys.stderr,
        )
    return EXIT_DONE


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="muster export", description="A run's model, or data, for other programs.")
    parser.add_argument(
        "run", metavar="RUN", type=Path,
        help="folder of a finished run, or its model/ folder; for npz of any run, or of prepared data",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=FORMATS, required=True,
        help="huggingface: a folder that transformers loads; onnx: a graph for ONNX runtimes; word2vec: a text file of "
        "word vectors; npz: sparse matrices of the documents' words",
    )  # fmt: skip
    parser.add_argument(
        "--weights", choices=("count", "tfidf", "binary"),
        help="weights of words, with npz alone (default: what the data is prepared with)",
    )  # fmt: skip
    parser.add_argument("--output", metavar="PATH", type=Path, required=True, help="folder, or file, to write")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    options = parser.parse_args(arguments)
    return exit_code_of(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
