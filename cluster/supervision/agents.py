"""The agents of an attempt as processes: one on this node, or one on each node of a job, through `srun`."""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from cluster.processes import PARENT, Words, command, environment, kill
from cluster.supervision.frames import NODE
from cluster.supervision.slurm import Job, Unsaid, addresses
from cluster.topology.place import candidate_ports

SRUN = (
    "--ntasks-per-node=1",
    "--overlap",  # the last attempt's step may still be clearing up
    "--kill-on-bad-exit=0",  # an agent that ends says why first, and the others are told by us
    "--wait=0",
    "--cpu-bind=none",  # the plan places the ranks
    "--mpi=none",
    "--input=none",
    "--export=ALL",
)
NO_BINDING = "srun: cluster configuration lacks support for cpu binding"
"""What srun says to --cpu-bind=none where nothing would be bound anyway."""
END_SECONDS = 5.0


class Agents:
    """Started anew for each attempt."""

    def __init__(self, job: Job | None, attempt: int, interface: str) -> None:
        self.names: tuple[str, ...] = job.nodes if job is not None else ("",)
        self._several = len(self.names) > 1
        self.addresses = _addresses(self.names, interface) if self._several else []
        self.ports = candidate_ports(f"agents {job.name} {job.restart} {attempt}", 0) if job is not None else ()
        self._words = Words()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, line: Mapping[str, str], run: Path, overrides: Sequence[str]) -> None:
        """`line`: what they need to call."""
        own = command("cluster.agent", ["train", str(run.absolute()), *overrides])
        if self._several:
            own = ["srun", f"--nodes={len(self.names)}", f"--ntasks={len(self.names)}", *SRUN, *own]
        known = dict(environment()) | dict(line)
        if self._several:
            del known[PARENT]  # Slurm's own process starts them
        else:
            known[NODE] = "0"
        self._process = subprocess.Popen(
            own, stdin=subprocess.DEVNULL, stdout=self._words.file, stderr=self._words.file, env=known,
            start_new_session=True,
        )  # fmt: skip

    def words(self) -> list[str]:
        """What they (or srun) have printed since the last call."""
        return [line for line in self._words.new() if line != NO_BINDING]

    def ended_early(self) -> str:
        """Why no agent will call any more, empty if one may."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return ""
        who = "srun" if self._several else "The agent"
        end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        told = "\n".join([*self.words(), self._words.rest()]).strip()
        return f"{who} {end} before the ranks had started" + (f": {told}" if told else ".")

    def end(self) -> None:
        """Wait a moment for them to end by themselves, then kill what is on this node; srun sees to the others."""
        if self._process is None:
            return
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGTERM if self._several else signal.SIGKILL)  # srun ends its step
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                kill(self._process)
                self._process.wait()


def _addresses(names: Sequence[str], interface: str) -> list[str]:
    """Of this node, the likeliest first: as Slurm reaches it, then every one it has."""
    own = psutil.net_if_addrs()
    families = ("AF_INET", "AF_INET6")
    listed = {
        name: [one.address for one in entries if one.family.name in families and not one.address.startswith("fe80")]
        for name, entries in own.items()
    }
    if interface != "auto":
        return listed.get(interface, [])
    try:
        first = addresses(names)
    except Unsaid:
        first = []
    others = [address for name, entries in listed.items() if name != "lo" for address in entries]
    return list(dict.fromkeys([*first, *others]))
