"""Looks: the colours of a picture by light and by dark, told apart by people who see red and green alike.

Plain colours in classes rather than variables: programs that make slides of an SVG know no variables.
"""

FILL, STROKE, BOTH = "fill", "stroke", "both"

# look: (what is painted, by light, by dark); for BOTH: fill and stroke
PAINT: dict[str, tuple[str, str, str]] = {
    "page": (FILL, "#ffffff", "#131619"),
    "ink": (FILL, "#1b1f24", "#e4e7ea"),
    "quiet": (FILL, "#59626c", "#9ba5af"),
    "bad": (FILL, "#b3261e", "#ff8a7a"),
    "care": (FILL, "#8a5300", "#f0b64a"),
    "card": (BOTH, "#fbfcfd #d5dae0", "#181c21 #363e47"),
    "numa": (BOTH, "#eef2f7 #c9d1da", "#20272e #414b56"),
    "gpu": (BOTH, "#e3edfb #9db9e0", "#1c2b42 #4a6a98"),
    "port": (BOTH, "#f1ebfa #bfa9dd", "#2a2340 #6f5c99"),
    "switch": (BOTH, "#dfe5ec #a9b4c0", "#2c343d #5a6672"),
    "bar": (FILL, "#d9dfe6", "#333b44"),
    "used": (FILL, "#7a8896", "#8794a1"),
    "core": (FILL, "#3d6ea8", "#79aef0"),
    "part": (FILL, "#a8c3e2", "#42648f"),
    "wire": (STROKE, "#aab3bd", "#5a646f"),
    "r1": (STROKE, "#9cc7e4", "#2f5f8e"),
    "r2": (STROKE, "#63a8d4", "#3f80ba"),
    "r3": (STROKE, "#3585c2", "#5ba3df"),
    "r4": (STROKE, "#1c63a8", "#8ec5f3"),
    "r5": (STROKE, "#0b3f80", "#cbe5fd"),
    "low": (STROKE, "#d0342c", "#ff7a69"),
    "f1": (FILL, "#9cc7e4", "#2f5f8e"),
    "f2": (FILL, "#63a8d4", "#3f80ba"),
    "f3": (FILL, "#3585c2", "#5ba3df"),
    "f4": (FILL, "#1c63a8", "#8ec5f3"),
    "f5": (FILL, "#0b3f80", "#cbe5fd"),
    "level": (FILL, "#3585c2", "#5ba3df"),
    "needle": (STROKE, "#1c63a8", "#8ec5f3"),
    "odd": (BOTH, "#fff6df #8a5300", "#33280f #f0b64a"),
    "flow": (FILL, "#d0342c", "#ff7a69"),
    "pass": (FILL, "#1f7d5c", "#4cc39a"),
    "warning": (FILL, "#e69f00", "#f0b64a"),
    "fail": (FILL, "#d0342c", "#ff7a69"),
    "unknown": (FILL, "#77818c", "#8f99a4"),
    "sign": (STROKE, "#ffffff", "#131619"),
    "grid": (STROKE, "#e3e7ec", "#2a3139"),
    "axis": (STROKE, "#7d8791", "#7d8791"),
    "limit": (STROKE, "#8a5300", "#f0b64a"),
    "curve": (STROKE, "#1c63a8", "#78aefc"),
    "best": (STROKE, "#7fa9d3", "#4a7ab0"),
    "spread": (FILL, "#cfe0f2", "#223a57"),
    "dot": (FILL, "#1c63a8", "#78aefc"),
    "untold": (STROKE, "#8d97a2", "#75808b"),
    "gone": (STROKE, "#d0342c", "#ff7a69"),
    "unjudged": (STROKE, "#77818c", "#8f99a4"),
    "off": (STROKE, "#9aa5b1", "#5f6a75"),
}
SIZES = (9.5, 10.0, 10.5, 11.0, 11.5, 12.0, 13.0, 16.0, 22.0)
"""Of words. As classes, for a page's own style would win over attributes."""
OTHERS = {
    "text": "font-family:'Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif;white-space:pre",
    ".c-bold": "font-weight:650",
    ".c-off": "fill:none;stroke-width:.8",
    ".c-untold": "fill:none;stroke-width:1.2;stroke-dasharray:4 3",
    ".c-gone": "fill:none;stroke-width:1.2;stroke-dasharray:4 3",
    ".c-low": "stroke-dasharray:7 2.5",
    ".c-solid": "stroke-dasharray:none",
    ".c-limit": "stroke-dasharray:6 4;stroke-width:1.4",
    ".c-curve": "stroke-width:2;stroke-linejoin:round",
    ".c-best": "stroke-width:1.2;stroke-linejoin:round",
    ".c-sign": "stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round",
}


def classes(look: str) -> str:
    """As the style sheet knows them: no page has classes of these names."""
    return " ".join(f"c-{one}" for one in look.split())


def size_class(size: float) -> str:
    """Raises ValueError for a size that the style sheet has not."""
    return f"c-s{SIZES.index(size)}"


def style() -> str:
    """The style sheet of a picture; it touches nothing else of a page that holds it."""
    light = "".join(_rule(look, kind, by_light) for look, (kind, by_light, _) in PAINT.items())
    dark = "".join(_rule(look, kind, by_dark) for look, (kind, _, by_dark) in PAINT.items())
    sizes = "".join(f"svg.cluster .{size_class(size)}{{font-size:{size:g}px}}" for size in SIZES)
    others = "".join(f"svg.cluster {name}{{{rule}}}" for name, rule in OTHERS.items())
    return f"{light}{sizes}{others}@media (prefers-color-scheme:dark){{{dark}}}"


def _rule(look: str, kind: str, colours: str) -> str:
    match kind:
        case "both":
            fill, stroke = colours.split()
            rule = f"fill:{fill};stroke:{stroke}"
        case "stroke":
            rule = f"fill:none;stroke:{colours}"
        case _:
            rule = f"fill:{colours}"
    return f"svg.cluster .{classes(look)}{{{rule}}}"
