"""How answers are written: JSON lines for programs, short lines for a person."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cluster.text.printable import clipped, printable
from cluster.text.raw.requests import Request

Answer = dict[str, Any]
"""What was found for one text: {"label", "probability", "probabilities"}, {"labels", "probabilities"}, {"value"}, or of
its words {"tokens", "tags", "probabilities"} and perhaps {"spans"}; to a question {"answer", "start", "end", "score",
"no_answer"}; of language models {"continuation"} or {"filled", "masks"}; of one that writes texts of others
{"rewritten"}."""


@dataclass(frozen=True)
class Written:
    """The lines of some requests, in order, and those of them that were in error: (line, reason)."""

    text: str
    bad: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Form:
    """JSON lines, or lines of at most `width` letters."""

    as_json: bool
    width: int = 80

    def write(self, requests: Sequence[Request], answers: Sequence[Answer]) -> Written:
        """`answers` are those of the requests without error, in order."""
        lines: list[str] = []
        waiting = iter(answers)
        for request in requests:
            if not request.error:
                answer = next(waiting)
                lines.append(self._json(request, answer) if self.as_json else self._short(request, answer))
            elif self.as_json:
                lines.append(json.dumps({"line": request.line, "error": request.error}, ensure_ascii=False))
        bad = tuple((request.line, request.error) for request in requests if request.error)
        return Written("".join(line + "\n" for line in lines), bad)

    def _json(self, request: Request, answer: Answer) -> str:
        """What came in and what was found; a field of the input named as an answer is, is kept under another name."""
        given = {"text": request.text} if request.fields is None else request.fields
        kept = {
            (f"input_{key}" if key in answer else key): value
            for key, value in given.items()
            if key not in answer or answer[key] != value
        }
        # default=str: a Parquet column may hold dates and their like
        return json.dumps(kept | answer, ensure_ascii=False, default=str)

    def _short(self, request: Request, answer: Answer) -> str:
        if "tags" in answer:
            return printable(_tagged(answer))
        if "answer" in answer:
            found = printable(answer["answer"]) or "(none)"
            return f"{found}  {answer['score']:.3f}  {clipped(request.question, max(20, self.width - len(found) - 9))}"
        if "continuation" in answer:
            return request.text + str(answer["continuation"]) + "\n"
        if "rewritten" in answer:
            return printable(str(answer["rewritten"]))
        if "filled" in answer:
            return str(answer["filled"])
        found = _headline(answer)
        return f"{found}  {clipped(request.text, max(20, self.width - len(found) - 2))}"


def _tagged(answer: Answer) -> str:
    """The words with their labels; or, of spans, the spans in brackets."""
    words = answer["tokens"]
    if "spans" not in answer:
        return " ".join(f"{word}/{tag or '-'}" for word, tag in zip(words, answer["tags"], strict=True))
    told = list(words)
    for span in answer["spans"]:
        told[span["start"]] = "[" + told[span["start"]]
        told[span["end"] - 1] += f"]{span['label']}"
    return " ".join(told)


def _headline(answer: Answer) -> str:
    match answer:
        case {"value": value}:
            return f"{value:.4g}"
        case {"labels": labels, "probabilities": probabilities}:
            return ", ".join(f"{label} {probabilities[label]:.3f}" for label in labels) or "none"
        case _:
            return f"{answer['label']}  {answer['probability']:.3f}"
