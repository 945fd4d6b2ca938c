"""The order, laid open: which documents each rank reads in each step. Anyone can check the promise with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.data.order import Order, OrderSettings, costs, deal
from cluster.data.reading import reader_of
from cluster.errors import PlanError

if TYPE_CHECKING:
    from cluster.config.schema import Recipe


def order_report(prepared: Path, recipe: "Recipe", ranks: int, first: int, last: int) -> dict[str, Any]:
    """The steps `first` to `last` (not included) of a run of `recipe`, dealt to `ranks` ranks.

    `{"steps": [{"step": 0, "ranks": [[[document ids of a micro-batch], ...], ...]}, ...]}`: one list a rank, an empty
    one where a rank is idle; a document's id is its row in the training split, for a language model that of a sequence.
    Raises PlanError, DataError.
    """
    refuse_impossible(recipe, ranks, first, last)
    reader = reader_of(prepared, "train", recipe)
    order = Order(OrderSettings.of(recipe, padded=not reader.weighted), reader.lengths, reader.planned_tokens)
    steps: list[dict[str, Any]] = []
    planned_steps = order.steps(order.at(first))
    for _ in range(first, last):
        planned = next(planned_steps)
        shares = deal(costs(planned.micro_batches, order.lengths, order.settings.padded), ranks)
        dealt = [[planned.micro_batches[index].tolist() for index in share] for share in shares]
        steps.append({"step": planned.position.step, "ranks": dealt})
    return {"steps": steps}


def refuse_impossible(recipe: "Recipe", ranks: int, first: int, last: int) -> None:
    """Raises PlanError for more ranks than a step is cut for, or steps that are none."""
    limit = recipe.train.max_ranks
    if not 1 <= ranks <= limit:
        raise PlanError(
            f"{ranks} ranks are outside 1..train.max_ranks ({limit}): a step is cut for at most {limit} ranks. "
            f"Ask for at most {limit}, or set a larger train.max_ranks."
        )
    if not 0 <= first <= last:
        raise PlanError(f"steps {first}:{last} must be A:B with 0 <= A <= B, as in 0:10 for the first ten.")


def print_order(report: dict[str, Any]) -> str:
    """The report as text for people: a line a step, a line a rank, micro-batches in brackets."""
    lines = []
    for step in report["steps"]:
        documents = sum(len(ids) for rank in step["ranks"] for ids in rank)
        micro_batches = sum(len(rank) for rank in step["ranks"])
        lines.append(f"step {step['step']}: {documents} documents in {micro_batches} micro-batches")
        for number, rank in enumerate(step["ranks"]):
            shown = " ".join("[" + " ".join(str(document) for document in ids) + "]" for ids in rank)
            lines.append(f"  rank {number}: {shown or 'idle'}")
    return "\n".join(lines)
