"""What a person reads when ranks do not go on."""

import pytest

from cluster.pulse.clock import Stuck
from cluster.pulse.collectives import Entered
from cluster.pulse.words import explain, suspects, table

HELD = "runs, but its interpreter does not answer (the GIL is held)"


def stuck(rank, kind="late", state="runs", phase="step", step=120, seconds=10.2, allowed=10.0, pid=70):
    where = {"phase": phase, "step": step, "allowed_seconds": allowed}
    return Stuck(rank=rank, pid=pid + rank if pid else 0, kind=kind, state=state, seconds=seconds, **where)


def entered(rank, number, finished=None, operation="all_reduce", sizes=((9,),), **unknown):
    done = number if finished is None else finished
    sizes = [list(size) for size in sizes]
    return Entered(rank=rank, number=number, finished=done, operation=operation, sizes=sizes, **unknown)


SILENT = entered(1, 0, unknown="it gave no answer")

CASES = {
    "stopped": (
        [stuck(1, "frozen", "is stopped (SIGSTOP)", seconds=5.3)],
        [entered(0, 481, 480), SILENT, entered(2, 481, 480)],
        [1],
        "Rank 1 on h2 (process 71) is stopped (SIGSTOP): no sign of life for 5 s, after step 120, phase step. "
        "The other ranks wait in all_reduce number 481.",
    ),
    "two frozen of three": (
        [stuck(0, "frozen", HELD, seconds=5.3), stuck(1, "frozen", "is in uninterruptible sleep (nfs4_wait)")],
        [entered(0, 0, unknown="-"), SILENT, entered(2, 481, 480)],
        [0, 1],
        f"Rank 0 on h1 (process 70) {HELD}: no sign of life for 5 s, after step 120, phase step. "
        "Rank 1 on h2 (process 71) is in uninterruptible sleep (nfs4_wait): no sign of life for 10 s, after step 120, "
        "phase step. Rank 2 waits in all_reduce number 481.",
    ),
    "one stays away": (
        [stuck(0), stuck(1), stuck(2)],
        [entered(0, 481, 480), entered(1, 480), entered(2, 481, 480)],
        [1],
        "Rank 1 on h2 (process 71) runs, but does not go on (10 s, 10 are allowed), after step 120, phase step; it is "
        "out of all_reduce number 480 and did not come to the next. The other ranks wait in all_reduce number 481.",
    ),
    "one stays away whose own clock has not run out": (
        [stuck(0), stuck(2)],
        [entered(0, 481, 480), entered(1, 480), entered(2, 481, 480)],
        [1],
        "Rank 1 on h2 stays away; it is out of all_reduce number 480 and did not come to the next. The other ranks "
        "wait in all_reduce number 481.",
    ),
    "all wait in the same": (
        [stuck(0), stuck(1)],
        [entered(0, 481, 480), entered(1, 481, 480)],
        [0, 1],
        "Rank 0 on h1 (process 70) runs, but does not go on (10 s, 10 are allowed), after step 120, phase step. Rank 1 "
        "on h2 (process 71) runs, but does not go on (10 s, 10 are allowed), after step 120, phase step. All wait in "
        "all_reduce number 481: is the network between them whole?",
    ),
    "they do not meet": (
        [stuck(0), stuck(1)],
        [entered(0, 10, 9), entered(1, 10, 9, "broadcast", [(3,)])],
        [0, 1],
        "Rank 0 on h1 (process 70) runs, but does not go on (10 s, 10 are allowed), after step 120, phase step. Rank 1 "
        "on h2 (process 71) runs, but does not go on (10 s, 10 are allowed), after step 120, phase step. They do not "
        "meet: rank 0 is in all_reduce number 10 of sizes [[9]]; rank 1 is in broadcast number 10 of sizes [[3]]. One "
        "of them has left one out, or made one more.",
    ),
    "one rank alone": (
        [stuck(0, phase="save", seconds=301, allowed=300.0)],
        [entered(0, 0, operation="", sizes=())],
        [0],
        "Rank 0 on h1 (process 70) runs, but does not go on (301 s, 300 are allowed), after step 120, phase save.",
    ),
    "never begun": (
        [stuck(1, state="has not begun", phase="start", step=0, seconds=600.4, allowed=600.0, pid=0)],
        [entered(0, 0, operation="", sizes=()), entered(1, 0, unknown="it has not begun")],
        [1],
        "Rank 1 on h2 has not begun after 600 s.",
    ),
    "the others wait in different places": (
        [stuck(3, "frozen", "is stopped (SIGSTOP)", seconds=5.3)],
        [entered(0, 481, 480), entered(1, 482, 480), entered(2, 481, 480), entered(3, 0, unknown="-")],
        [3],
        "Rank 3 (process 73) is stopped (SIGSTOP): no sign of life for 5 s, after step 120, phase step. Of the others "
        "wait ranks 0 and 2 in all_reduce number 481; rank 1 in all_reduce number 482.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_who_and_why(case):
    ranks, collectives, named, words = CASES[case]
    assert suspects(ranks, collectives) == named
    assert explain(ranks, collectives, {0: "h1", 1: "h2", 2: "h3"}) == words


def test_a_line_for_each_rank():
    rank = {"pid": 70, "step": 120, "phase": "step", "phase_seconds": 5.25, "silent_seconds": 0.12}
    ranks = [{"rank": 0, "node": "h1", **rank}, {"rank": 1, **rank}, {"rank": 2, **rank}, {"rank": 3, **rank}]
    told = table(ranks, {0: entered(0, 481, 480), 1: entered(1, 480), 2: entered(2, 0, unknown="it has ended")})
    about = "process 70  step 120  step for 5.2 s  beat 0.1 s ago"
    assert told == [
        f"rank 0  h1  {about}  in all_reduce number 481",
        f"rank 1  {about}  out of all_reduce number 480",
        f"rank 2  {about}  it has ended",
        f"rank 3  {about}",
    ]
