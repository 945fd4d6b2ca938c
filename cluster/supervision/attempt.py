"""One attempt at a run: an agent on each node, called together, told to go, listened to until all have ended."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.config.schema import Recipe
from cluster.data.durable import write_atomically
from cluster.errors import EXIT_DO_NOT_REQUEUE, MusterError
from cluster.plan.fitness import Unfit, refuse_unfit
from cluster.plan.placement import place
from cluster.plan.plan import Machine, Plan, describe, keep_stored, make_plan, together
from cluster.pulse.clock import Stuck
from cluster.pulse.collectives import Entered
from cluster.pulse.words import explain, suspects
from cluster.runs import RunFolder, read_json
from cluster.supervision.agents import Agents
from cluster.supervision.alive import Signs, State
from cluster.supervision.desk import Desk
from cluster.supervision.frames import BEAT_SECONDS, SILENT_SECONDS
from cluster.supervision.outcome import Report, conclude, newest_step
from cluster.supervision.verdict import Ending, verdict_of
from cluster.supervision.wishes import Wishes
from cluster.topology.frames import Message
from cluster.topology.health.judge import before_start, judge
from cluster.topology.node import Cluster, Node, cluster_of, node_from_json, to_json

CALL_SECONDS = 60.0
"""For an agent's first words: Slurm has to start it, Python has to be read from a shared disk."""
READY_SECONDS = 600.0
"""For torch's import and the facts of the node, from a slow shared disk."""
LAST_WORDS_SECONDS = 5.0
"""After one node's ranks have failed, for the others to notice and to say so, before they are ended."""
END_SECONDS = 10.0
"""For agents to end their ranks and themselves."""
DUMP_SECONDS = 6.0
"""For agents to ask their ranks where they are."""
LOOK_SECONDS = 0.1

Say = Callable[[str], None]


@dataclass
class NodeState:
    """How far the agent of one node is."""

    name: str
    hello: Message | None = None
    ready: Message | None = None
    ranks: Sequence[dict[str, Any]] = ()
    """As of its last beat."""
    report: Report | None = None
    failed: Message | None = None
    """It could not come to start its ranks."""
    gone: str = ""
    """Why the line to it is broken."""
    stuck: Sequence[dict[str, Any]] = ()
    """Ranks of it that do not go on."""
    dumped: Sequence[dict[str, Any]] | None = None
    """Where its ranks are: the collective that each has entered last."""


@dataclass
class Attempt:
    """`run` it once."""

    folder: RunFolder
    recipe: Recipe
    overrides: Sequence[str]
    number: int
    agents: Agents
    signs: Signs
    wishes: Wishes
    say: Say
    nodes: list[NodeState] = field(default_factory=list)
    has_started: bool = False
    """The ranks were told to go."""
    _next_word: float = 0.0

    def run(self) -> Ending:
        """From the first call to the last word."""
        self.nodes = [NodeState(name) for name in self.agents.names]
        with Desk(len(self.nodes), self.agents.addresses, self.agents.ports) as self.desk:
            self.agents.start(self.desk.environment(), self.folder.path, self.overrides)
            try:
                return self._together() or self._to_the_end()
            finally:
                self._end_all()

    # ---- calling together ----

    def _together(self) -> Ending | None:
        """Until all nodes have called and are ready, then tell them to go. An Ending if it does not come to that."""
        if early := self._wait(lambda node: node.hello is not None, CALL_SECONDS, "did not call"):
            return early
        for node in self.nodes:
            hidden = [path for path, is_seen in (node.hello or {})["sees"].items() if not is_seen]
            if hidden:
                return self._unfit(
                    node,
                    f"does not see {' and '.join(hidden)}: run and data folders must be on a file system that all "
                    "nodes share (--run and MUSTER_CACHE name others)",
                )
        if early := self._wait(lambda node: node.ready is not None, READY_SECONDS, "was not ready to start"):
            return early
        try:
            self._go()
        except Unfit as error:
            return Ending(verdict="infrastructure", message=str(error), node_is_unfit=True, unfit_nodes=error.nodes)
        except MusterError as error:
            return Ending(verdict=verdict_of(error.exit_code), message=str(error), is_expected=True)
        return None

    def _wait(self, is_there: Callable[[NodeState], bool], seconds: float, otherwise: str) -> Ending | None:
        end = time.monotonic() + seconds
        while not all(map(is_there, self.nodes)):
            self._listen("starting")
            if early := self._early():
                return early
            if time.monotonic() > end:
                missing = next(node for node in self.nodes if not is_there(node))
                return self._unfit(missing, f"{otherwise} within {seconds:g} s")
        return None

    def _early(self) -> Ending | None:
        """Why it will not come to a start."""
        if asked := self.wishes.stop:
            return Ending(verdict="checkpointed", message=f"Stopped ({asked}) before the ranks had started.")
        for node in self.nodes:
            if node.failed is not None:
                return _of_failure(node)
            if node.gone:
                return self._unfit(node, f"lost its agent before the ranks had started: {node.gone}")
        if words := self.agents.ended_early():
            return Ending(verdict="infrastructure", message=words)
        return None

    def _go(self) -> None:
        """The plan for what is there, and the word to go. Raises MusterError."""
        facts = [node_from_json(_ready(node)["node"], node.name) for node in self.nodes]
        if len(facts) > 1:
            facts = [dataclasses.replace(one, name=node.name) for one, node in zip(facts, self.nodes, strict=True)]
        cluster = cluster_of(facts)
        refuse_unfit(judge(cluster) if len(facts) > 1 else before_start(facts[0]), self.recipe, self.say)
        plan = self._plan(facts, cluster)
        of_node = plan.ranks // len(self.nodes)
        address = self._address_of_first()
        for number, (node, one) in enumerate(zip(self.nodes, facts, strict=True)):
            own = self.desk.address(number) if len(self.nodes) > 1 else ""
            placement = place(one, plan, self.recipe, ranks_of_node=of_node, address=own)
            if number == 0:
                self.say("\n  ".join([self._described(plan), *placement.reasons]))
            order = {
                "plan": dataclasses.asdict(plan),
                "placement": dataclasses.asdict(placement),
                "ranks_of_node": of_node,
                "nodes": len(self.nodes),
                "address": address,
                "port": _ready(self.nodes[0])["port"],
                "attempt": self.number,
                "node_name": node.name,
            }
            self.desk.tell({"go": order}, [number])
        self.has_started = True

    def _plan(self, facts: Sequence[Node], cluster: Cluster) -> Plan:
        machines = {node.name or "this node": Machine(**_ready(node)["machine"]) for node in self.nodes}
        self._machine = together(machines)
        plan = make_plan(self.recipe, self._machine, nodes=len(facts))
        stored = read_json(self.folder.plan) if self.folder.plan.exists() else None
        if stored is not None:
            plan = keep_stored(plan, stored, self.recipe)
            if differences := plan.differences(stored):
                self.say(f"not bit-equal to the attempts before: {', '.join(differences)}")
        write_atomically(self.folder.topology, json.dumps(to_json(cluster)).encode() + b"\n")
        return plan

    def _described(self, plan: Plan) -> str:
        return describe(plan, self._machine, nodes=len(self.nodes))

    def _address_of_first(self) -> str:
        """The address of the first node that another one has reached: of several, one may lead nowhere."""
        return self.desk.own_address(1) if len(self.nodes) > 1 else "127.0.0.1"

    # ---- under way ----

    def _to_the_end(self) -> Ending:
        """Until every agent has told how its ranks ended, or something is wrong with one."""
        hurry: float | None = None
        is_stopping = False
        while not all(node.report or node.failed for node in self.nodes):
            self._listen("stopping" if is_stopping else "training")
            if self.wishes.is_urgent:
                self._end_all()
                break
            if self.wishes.stop and not is_stopping:
                is_stopping = True
                if not self.wishes.is_signal:  # who passed the signal on has said so
                    self.say(f"muster: stopping ({self.wishes.stop}): a checkpoint is saved after this step")
                self.desk.tell({"stop": True})
            if any(node.stuck for node in self.nodes):
                return self._stuck()
            if ending := self._broken():
                self.say(f"muster: {ending.message} Ending the attempt.")  # at once: that may take a while
                return ending
            if any(node.failed or (node.report and _is_bad(node.report)) for node in self.nodes):
                hurry = hurry or time.monotonic() + LAST_WORDS_SECONDS
            if hurry and time.monotonic() > hurry:
                self.desk.tell({"end": True})
                hurry = time.monotonic() + END_SECONDS
        for node in self.nodes:
            if node.failed is not None:
                return _of_failure(node)
        if self.wishes.is_urgent:
            step = newest_step(self.folder)
            message = f"Stopped at once ({self.wishes.stop}); the checkpoint of step {step} is the newest."
            return Ending(verdict="checkpointed", message=message, step=step)
        reports = [node.report or Report(node=node.name, ranks=node.ranks) for node in self.nodes]
        return conclude(self.folder, self.number, reports, self.wishes.stop)

    def _stuck(self) -> Ending:
        """Some ranks do not go on: find out where all of them are, before they are ended."""
        self.say(f"muster: {self._explained([])} Asking every rank where it is.")
        self.desk.tell({"dump": True})
        end = time.monotonic() + DUMP_SECONDS
        while any(n.dumped is None and not n.gone and not n.report for n in self.nodes) and time.monotonic() < end:
            self._listen("training")
        entered = [Entered(**one) for node in self.nodes for one in node.dumped or ()]
        told = {one["rank"]: (node.name, one) for node in self.nodes for one in node.stuck}
        rank = suspects([Stuck(**one) for _, one in told.values()], entered)[0]
        name, first = told.get(rank, ("", {"kind": "late", "step": None}))
        logs = self.folder.attempt_logs(self.number)
        return Ending(
            verdict="infrastructure",
            message=f"{self._explained(entered)}\nPython stacks of all ranks: {logs}/rank-*.stack.txt",
            step=newest_step(self.folder),
            rank=rank,
            node=name,
            kind=f"hung ({first['kind']})",
            at_step=first["step"],
        )

    def _explained(self, entered: Sequence[Entered]) -> str:
        nodes = {rank["rank"]: node.name for node in self.nodes for rank in node.ranks}
        return explain([Stuck(**one) for node in self.nodes for one in node.stuck], entered, nodes)

    def _broken(self) -> Ending | None:
        """An agent that is gone, or a node that has fallen silent."""
        for number, node in enumerate(self.nodes):
            if node.report or node.failed:
                continue
            if node.gone:
                where = f" on {node.name}" if node.name else ""
                return Ending(
                    verdict="infrastructure",
                    message=f"The agent{where} is gone ({node.gone}); its ranks ended with it{self._at(node)}.",
                    node=node.name,
                    kind="",
                )
            silence = time.monotonic() - self.desk.heard_at.get(number, time.monotonic())
            if silence > SILENT_SECONDS:
                return self._unfit(
                    node, f"has not been heard for {silence:.1f} s{self._at(node)}: it is down, frozen or cut off"
                )
        return None

    def _at(self, node: NodeState) -> str:
        steps = [rank["step"] for rank in node.ranks]
        return f" after step {max(steps)}" if steps else ""

    def _unfit(self, node: NodeState, words: str) -> Ending:
        """Of several nodes, the job had better leave this one out; on a workstation there is no other."""
        return Ending(
            verdict="infrastructure", message=f"{node.name or 'The agent'} {words}.", node=node.name,
            node_is_unfit=bool(node.name), unfit_nodes=(node.name,) if node.name else (),
        )  # fmt: skip

    # ---- the line ----

    def _listen(self, state: State) -> None:
        """For a moment; give signs of life meanwhile."""
        for number, message in self.desk.hear(LOOK_SECONDS):
            self._take(self.nodes[number], message)
        if time.monotonic() >= self._next_word:
            self._next_word = time.monotonic() + BEAT_SECONDS
            self.desk.tell({"alive": True})
        self.signs.give(state, [rank | {"node": node.name} for node in self.nodes for rank in node.ranks])
        for line in self.agents.words():
            self.say(line)
        self.wishes.look()

    def _take(self, node: NodeState, message: Message) -> None:
        match message:
            case {"hello": dict() as hello}:
                node.hello = hello
                node.name = node.name or str(hello.get("name", ""))
            case {"ready": dict() as ready}:
                node.ready = ready
            case {"failed": dict() as failed}:
                node.failed = failed
            case {"beat": {"ranks": list() as ranks}}:
                node.ranks = ranks or node.ranks
            case {"lost": list() as lost}:
                where = f" on {node.name}" if node.name else ""
                self.say(f"muster: {'; '.join(_lost(one, where) for one in lost)}. Ending the attempt.")
            case {"stuck": list() as stuck}:
                node.stuck = stuck
            case {"dumped": list() as dumped}:
                node.dumped = dumped
            case {"ended": dict() as ended}:
                node.report = Report(**ended | {"node": node.name})
            case {"gone": why}:
                node.gone = "" if node.report or node.failed else str(why)

    def _end_all(self) -> None:
        """At once, whatever they do; who does not answer is killed, as far as we reach."""
        self.desk.tell({"end": True})
        end = time.monotonic() + END_SECONDS
        while any(map(self.desk.is_here, range(len(self.nodes)))) and time.monotonic() < end:
            unheard = [n for n in range(len(self.nodes)) if self.desk.is_here(n)]
            if all(time.monotonic() - self.desk.heard_at.get(n, 0.0) > SILENT_SECONDS for n in unheard):
                break
            for number, message in self.desk.hear(LOOK_SECONDS):
                self._take(self.nodes[number], message)
        self.agents.end()


def _lost(rank: dict[str, Any], where: str) -> str:
    return f"Rank {rank['rank']}{where} (process {rank['pid']}) is gone, after step {rank['step']}"


def _ready(node: NodeState) -> Message:
    assert node.ready is not None
    return node.ready


def _is_bad(report: Report) -> bool:
    return bool(report.failures)


def _of_failure(node: NodeState) -> Ending:
    """An agent that could not start its ranks says so itself."""
    assert node.failed is not None
    code = int(node.failed.get("exit_code", EXIT_DO_NOT_REQUEUE))
    message = str(node.failed.get("message"))
    return Ending(
        verdict=verdict_of(code),
        message=f"{node.name}: {message}" if node.name else message,
        node=node.name,
        kind=str(node.failed.get("kind", "")),
        is_expected=not node.failed.get("traceback"),
        traceback=str(node.failed.get("traceback", "")),
    )
