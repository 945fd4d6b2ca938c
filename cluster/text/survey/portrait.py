"""A survey drawn for a person: tables and bars in a terminal of some width."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.text.printable import clipped, printable

EIGHTHS = " ▏▎▍▌▋▊▉"
MOST_BARS = 20
NARROWEST = 60
SHOWN_WORDS = 15
SHOWN_LINES = 3

Told = Mapping[str, Any]


def portrait(told: Told, width: int) -> str:
    """The whole survey as lines of at most `width` letters, or a little more where less would say nothing."""
    width = max(width, NARROWEST)
    sections = (_head, _splits, _lengths, _labels, _vocabulary, _unknown, _examples, _duplicates, _rejected)
    return "\n".join(line.rstrip() for section in sections for line in section(told, width))


def bar(share: float, width: int) -> str:
    """A bar of so much of `width` letters, to an eighth of a letter; anything above nothing is seen."""
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def bars(rows: Sequence[tuple[str, int]], width: int, total: int = 0) -> Iterator[str]:
    """A line for each name and count: name, bar, count, share of the total (that of the counts if none is given)."""
    if not rows:
        return
    most, total = max(count for _, count in rows), total or sum(count for _, count in rows)
    name_width = min(max(len(name) for name, _ in rows), width // 3)
    count_width = max(len(f"{count:,}") for _, count in rows)
    room = max(10, width - name_width - count_width - 14)
    for name, count in rows:
        share = count / total if total else 0.0
        drawn = bar(count / most if most else 0.0, room)
        yield f"  {clipped(name, name_width):>{name_width}} {drawn:<{room}} {count:>{count_width},} {share:>6.1%}"


def _title(words: str) -> Iterator[str]:
    yield from ("", words)


def _head(told: Told, width: int) -> Iterator[str]:
    what = f"recipe {told['recipe']}" if told["recipe"] else str(told["data"])
    unlabelled = told["task"] in ("regress", "answer", "language", "rewrite")
    labels = "" if unlabelled else f", {len(told['labels']):,} labels"
    yield f"{printable(what)}: {told['rows']:,} rows, {told['task']}{labels}"
    for source in told["sources"]:
        yield f"  {source['split']:<10} {printable(source['path'])} ({source['bytes'] / 1e6:,.1f} MB)"


def _splits(told: Told, width: int) -> Iterator[str]:
    quantiles = ("mean", "min", "5%", "median", "95%", "99%", "max")
    yield from _title("tokens per document")
    yield f"  {'':<10} {'documents':>10} {'tokens':>13} " + " ".join(f"{name:>7}" for name in quantiles)
    for name, split in told["splits"].items():
        found = " ".join(f"{split['lengths'][quantile]:>7,.0f}" for quantile in quantiles)
        yield f"  {name:<10} {split['documents']:>10,} {split['tokens']:>13,} {found}"
    for name, split in told["splits"].items():
        if split["cut"]:
            yield f"  {name}: {split['cut']:,} documents were cut to text.max_tokens"


def _lengths(told: Told, width: int) -> Iterator[str]:
    """Those of the training set; the table above has the others."""
    rows = told["splits"]["train"]["lengths"]["histogram"]
    yield ""
    yield from bars([(_range(row), row["documents"]) for row in rows], width)


def _range(row: Told) -> str:
    if row["to"] is None:
        return f"{row['from']:,} and more"
    return f"{row['from']:,}" if row["from"] == row["to"] else f"{row['from']:,}-{row['to']:,}"


def _labels(told: Told, width: int) -> Iterator[str]:
    for name, split in told["splits"].items():
        if told["task"] == "answer":
            yield from _title(
                f"{name}: {split['unanswerable']:,} of {split['documents']:,} questions have no answer; "
                f"{split['widened']:,} answers begin or end inside a word"
            )
            continue
        if told["task"] == "rewrite":
            found = split["written"]
            yield from _title(
                f"{name}: to be written of each text {found['mean']:.1f} tokens (median {found['median']:.0f}, 95% "
                f"up to {found['95%']:.0f}, at most {found['max']:.0f}), its end among them"
            )
            continue
        if told["task"] == "language":
            yield from _title(
                f"{name}: {split['bytes']:,} bytes of text, {split['tokens'] / split['bytes']:.3f} tokens a byte"
            )
            continue
        if told["task"] == "regress":
            targets = split["targets"]
            yield from _title(
                f"{name}: number to predict, mean {targets['mean']:.4g}, standard deviation {targets['std']:.4g}, "
                f"{targets['min']:.4g} to {targets['max']:.4g}"
            )
            ranges = [(f"{row['from']:.4g} to {row['to']:.4g}", row["documents"]) for row in targets["histogram"]]
            yield from bars(ranges, width)
            continue
        yield from _title(f"{name}: labels")
        counts = sorted(split["labels"].items(), key=lambda one: -one[1])
        of_all = sum(count for _, count in counts) if told["task"] == "tag" else split["documents"]
        yield from bars(counts[:MOST_BARS], width, of_all)
        if rest := counts[MOST_BARS:]:
            yield f"  and {len(rest):,} more, down to {printable(rest[-1][0])} ({rest[-1][1]:,})"
        if unknown := split["unknown_labels"]:
            named = ", ".join(f"{printable(label)} ({count:,})" for label, count in list(unknown.items())[:10])
            yield f"  labels that training lacks: {named}"
        if many := split.get("labels_per_document"):
            yield "  labels per document: " + " · ".join(f"{labels}: {count:,}" for labels, count in many.items())


def _vocabulary(told: Told, width: int) -> Iterator[str]:
    found = told["vocabulary"]
    kept = f"{found['kept']:,} of {found['distinct']:,} words" if found["growth"] else f"{found['kept']:,} pieces"
    settings = f"text.vocabulary_size = {found['vocabulary_size']:,}, text.min_count = {found['min_count']:,}"
    yield from _title(f"vocabulary: {kept} ({settings})")
    splits = list(found["coverage"])
    if not found["growth"]:
        shares = " · ".join(f"{name} {found['coverage'][name]:.1%}" for name in splits)
        yield f"  known tokens: {shares}"
        return
    yield f"  {found['once']:,} words stand in the training set once. Tokens that a vocabulary of so many words knows:"
    yield f"  {'words':>10} " + " ".join(f"{name:>10}" for name in splits)
    for row in found["growth"]:
        mark = "  <- these settings" if row["kept"] else ""
        yield f"  {row['words']:>10,} " + " ".join(f"{row[name]:>10.2%}" for name in splits) + mark


def _unknown(told: Told, width: int) -> Iterator[str]:
    for name, words in told["vocabulary"]["unknown"].items():
        if words:
            yield from _title(f"{name}: most frequent words that the vocabulary lacks (how often here, in training)")
            listed = "   ".join(
                f"{clipped(one['word'], 30)} ({one['count']:,}, {one['in_train']:,})" for one in words[:SHOWN_WORDS]
            )
            yield from _wrapped(listed, width)


def _wrapped(text: str, width: int) -> Iterator[str]:
    line = " "
    for part in text.split("   "):
        if len(line) + len(part) + 3 > width and line.strip():
            yield line
            line = " "
        line += ("   " if line.strip() else " ") + part
    if line.strip():
        yield line


def _examples(told: Told, width: int) -> Iterator[str]:
    for name, examples in told["examples"].items():
        yield from _title(f"{name}: examples, raw and as the model reads them")
        for one in examples:
            yield f"  {_where(one)}  {clipped(_truth(one), max(20, width - len(_where(one)) - 4))}"
            for text in (one["text"], one["decoded"]):
                lines = textwrap.wrap(clipped(text, SHOWN_LINES * (width - 6)), width - 6)
                yield from (f"    {'· ' if number == 0 else '  '}{line}" for number, line in enumerate(lines))


def _where(one: Told) -> str:
    return f"{printable(one['file'])}:{one['line']}"


def _truth(one: Told) -> str:
    if "written" in one:
        return "-> " + printable(one["written"])
    if "target" in one:
        return f"{one['target']:.6g}"
    if "labels" in one:
        return printable(", ".join(one["labels"]) or "none")
    return printable(one.get("label", ""))


def _duplicates(told: Told, width: int) -> Iterator[str]:
    found = told["duplicates"]
    yield from _title("duplicates (equal but for case, white space and the form of letters)")
    yield (
        f"  {found['repeated_in_train']:,} training rows repeat an earlier one"
        + f", {found['repeated_with_other_label']:,} of them otherwise labelled"
        + f"; {found['dropped']:,} dropped"
    )
    for name, shown in found["shown"].items():
        yield f"  {found.get(f'{name}_also_in_train', 0):,} {name} texts are in the training split too"
        for one in shown:
            yield f"    {_where(one)} {_truth(one)} = {_where(one['train'])} {_truth(one['train'])}"
            yield f"      {clipped(one['text'], width - 6)}"


def _rejected(told: Told, width: int) -> Iterator[str]:
    found = told["rejected"]
    yield from _title(f"rejected rows: {found['rows']:,}")
    for one in found["reasons"][:MOST_BARS]:
        yield f"  {one['rows']:>8,}  {clipped(one['first'], width // 2)} (first: {_where(one)})"
    if rest := found["reasons"][MOST_BARS:]:
        yield f"  and {len(rest):,} more reasons"
