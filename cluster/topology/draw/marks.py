"""Marks of verdicts: each has a shape of its own, so that no one needs to tell colours apart."""

from cluster.topology.draw.scene import Shape, Way

MISSING = "missing"
WORDS = {"": "not judged", MISSING: "no answer"}
LOOKS = {"fail": "bad", MISSING: "bad", "warning": "care"}

# In a square from 0 to 1: the outline, and the sign in it, as points of lines.
Lines = tuple[tuple[tuple[float, float], ...], ...]
OCTAGON = ((0.3, 0), (0.7, 0), (1, 0.3), (1, 0.7), (0.7, 1), (0.3, 1), (0, 0.7), (0, 0.3))
TRIANGLE = ((0.5, 0.02), (1, 0.96), (0, 0.96))
DIAMOND = ((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5))
SQUARE = ((0, 0), (1, 0), (1, 1), (0, 1))
TICK: Lines = (((0.28, 0.53), (0.44, 0.69), (0.73, 0.35)),)
BANG: Lines = (((0.5, 0.36), (0.5, 0.62)), ((0.5, 0.79), (0.5, 0.8)))
CROSS: Lines = (((0.31, 0.31), (0.69, 0.69)), ((0.69, 0.31), (0.31, 0.69)))
QUESTION: Lines = (
    ((0.38, 0.4), (0.4, 0.3), (0.5, 0.26), (0.6, 0.3), (0.62, 0.4), (0.5, 0.52), (0.5, 0.58)),
    ((0.5, 0.73), (0.5, 0.74)),
)


def mark(verdict: str, x: float, y: float, size: float, tip: str = "") -> list[Shape]:
    """In a square of `size` pixels with its upper left corner at (x, y)."""
    pen = round(max(1.0, size / 9), 2)
    match verdict:
        case "pass":
            return [Way(_circle(x, y, size), "pass", tip=tip), Way(_lines(TICK, x, y, size), "sign", pen)]
        case "warning":
            return [
                Way(_lines((TRIANGLE,), x, y, size) + "z", "warning", tip=tip),
                Way(_lines(BANG, x, y, size), "sign", pen),
            ]
        case "fail":
            return [
                Way(_lines((OCTAGON,), x, y, size) + "z", "fail", tip=tip),
                Way(_lines(CROSS, x, y, size), "sign", pen),
            ]
        case "unknown":
            return [
                Way(_lines((DIAMOND,), x, y, size) + "z", "unknown", tip=tip),
                Way(_lines(QUESTION, x, y, size), "sign", pen),
            ]
        case "missing":
            outline = _lines((SQUARE,), x, y, size) + "z"
            return [Way(outline, "gone", tip=tip), Way(_lines(CROSS, x, y, size), "gone solid")]
        case _:
            return [Way(_circle(x + 1, y + 1, size - 2), "unjudged", tip=tip)]


def _lines(lines: Lines, x: float, y: float, size: float) -> str:
    return "".join("M" + "L".join(f"{x + a * size:.1f} {y + b * size:.1f}" for a, b in line) for line in lines)


def _circle(x: float, y: float, size: float) -> str:
    r = size / 2
    return f"M{x:.1f} {y + r:.1f}a{r:.1f} {r:.1f} 0 1 0 {size:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-size:.1f} 0z"


def said(verdict: str) -> str:
    """A verdict in words."""
    return WORDS.get(verdict, verdict)


def look(verdict: str) -> str:
    """How words are painted that go with a verdict."""
    return LOOKS.get(verdict, "quiet")
