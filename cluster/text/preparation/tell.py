"""What preparation did, told to a person in a few lines."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

SHOWN_REJECTED = 20

Say = Callable[[str], None]


def tell(report: Mapping[str, Any], say: Say) -> None:
    """The result in a few lines, for a person."""
    splits = report["splits"]
    say(
        f"{report['rows']:,} rows: "
        + " · ".join(f"{name} {split['documents']:,}" for name, split in splits.items())
        + f" · rejected {report['rejected']:,} · duplicates dropped {report['duplicates']['dropped']:,}"
    )
    known = (f"{name} {1 - split['unknown_tokens'] / max(split['tokens'], 1):.1%}" for name, split in splits.items())
    say(
        f"{splits['train']['tokens']:,} training tokens · vocabulary {_vocabulary(report)} · known tokens: "
        f"{', '.join(known)} · {_wanted(splits['train'], report['classes'])}"
    )
    tell_remarks(report, say)


def _vocabulary(report: Mapping[str, Any]) -> str:
    match report["tokens"]:
        case "bpe" | "model":
            return f"{report['words']:,} pieces"
        case "characters":
            unit = "characters"
        case _:
            unit = "words"
    # words of an earlier run (`model.start_from`) were chosen there
    chosen_from = "" if report["distinct_words"] is None else f" of {report['distinct_words']:,}"
    return f"{report['words']:,}{chosen_from} {unit}"


def _wanted(train: Mapping[str, Any], classes: int) -> str:
    """What there is to predict."""
    if "unanswerable" in train:
        return f"{train['unanswerable']:,} questions without an answer"
    if "bytes" in train:
        return f"{train['bytes']:,} bytes of training text"
    if "written_tokens" in train:
        return f"{train['written_tokens']:,} tokens to be written in training"
    if "targets" not in train:
        return f"{classes} labels"
    low, high, mean = (train["targets"][name] for name in ("min", "max", "mean"))
    return f"numbers from {low:g} to {high:g}, mean {mean:.4g}"


def tell_remarks(report: Mapping[str, Any], say: Say) -> None:
    """What is out of the ordinary: rejected rows, duplicates, cut documents, unknown labels."""
    for line in _remarks(report):
        say(line)


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    for file, row, reason in report["rejected_rows"][:SHOWN_REJECTED]:
        yield f"  rejected {file}:{row}: {reason}"
    if report["rejected"] > SHOWN_REJECTED:
        yield f"  and {report['rejected'] - SHOWN_REJECTED:,} more"
    duplicates = report["duplicates"]
    if duplicates.get("repeated_in_train"):
        other = f", {duplicates['repeated_with_other_label']:,} of them with another label"
        kept = "dropped" if duplicates["dropped"] else "kept"
        yield (
            f"duplicates: {duplicates['repeated_in_train']:,} training rows repeat an earlier text"
            + (other if duplicates["repeated_with_other_label"] else "")
            + f" ({kept})"
        )
    for name, split in report["splits"].items():
        if count := duplicates.get(f"{name}_also_in_train"):
            yield f"duplicates: {count:,} {name} texts are in the training split too (kept)"
        if split["cut"]:
            yield f"{name}: {split['cut']:,} documents were cut to text.max_tokens = {report['max_tokens']:,}"
        if count := split.get("widened"):
            yield f"{name}: {count:,} answers begin or end inside a word: the fewest whole words are taken"
        if split["without_known_word"]:
            yield f"{name}: {split['without_known_word']:,} documents hold no known word"
        if unknown := split["unknown_labels"]:
            named = ", ".join(f"{label!r} ({count:,})" for label, count in list(unknown.items())[:10])
            count = sum(unknown.values())
            which = "words" if "labelled_words" in split else "documents"
            yield f"{name}: {count:,} {which} have labels that training lacks, and count as wrong: {named}"
