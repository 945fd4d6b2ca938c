"""A block of shapes as one SVG file: no script, no font, nothing from elsewhere; the same bytes for the same shapes."""

from cluster.markup import Html, number, tag
from cluster.topology.draw.colours import classes, size_class, style
from cluster.topology.draw.scene import Area, Block, Placed, Shape, Words


def written(block: Block, title: str) -> str:
    width, height = number(float(round(block.width))), number(float(round(block.height)))
    return (
        tag(
            "svg",
            tag("title", title),
            tag("style", Html(style())),
            tag("rect", class_=classes("page"), width=width, height=height),
            *map(_shape, block.shapes),
            xmlns="http://www.w3.org/2000/svg",
            class_="cluster",
            width=width,
            height=height,
            viewBox=f"0 0 {width} {height}",
            role="img",
        )
        + "\n"
    )


def _shape(shape: Shape) -> Html:
    match shape:
        case Placed(x, y, block):
            moved = f"translate({number(float(x))} {number(float(y))})" if x or y else None
            return tag("g", _tip(block.tip), *map(_shape, block.shapes), transform=moved, data_name=block.name or None)
        case Words():
            look = classes(f"{shape.look} bold" if shape.bold else shape.look)
            anchor = None if shape.anchor == "start" else shape.anchor
            return tag(
                "text", _tip(shape.tip), shape.text,
                class_=f"{look} {size_class(shape.size)}", x=float(shape.x), y=float(shape.y), text_anchor=anchor,
            )  # fmt: skip
        case Area():
            return tag(
                "rect", _tip(shape.tip), class_=classes(shape.look), x=float(shape.x), y=float(shape.y),
                width=float(shape.width), height=float(shape.height), rx=shape.corner or None,
            )  # fmt: skip
        case _:
            return tag("path", _tip(shape.tip), class_=classes(shape.look), d=shape.path, stroke_width=shape.width)


def _tip(words: str) -> Html | None:
    return tag("title", words) if words else None
