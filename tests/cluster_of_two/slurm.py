"""A real Slurm with two nodes, h1 and h2, on this machine: the distribution's own daemons, in a folder of ours.

A third, h3, is in a partition with both of them (`three`) and does not see the folder `hidden` as they do.
A requeued job waits for 20 seconds, which are two minutes elsewhere (`cred_expire`).
Jobs of the partition `urgent` take the nodes of those in `main`, which have half a minute then and are requeued.
All nodes report one host name, and their names do not resolve: their address is known to `scontrol show node` alone.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
PROGRAMS = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "srun": "slurm-client"}
NODES = ("h1", "h2", "h3")
READY_SECONDS = 60
END_SECONDS = 20
CONFIGURATION = """\
ClusterName=two
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=h1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=4000
NodeName=h2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=4000
NodeName=h3 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[3]} CPUs=4 RealMemory=4000
PartitionName=main Nodes=h[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=30
PartitionName=urgent Nodes=h[1-2] MaxTime=INFINITE State=UP PriorityTier=9 PreemptMode=off
PartitionName=three Nodes=h[1-3] MaxTime=INFINITE State=UP
"""


def why_not():
    """Why there can be no Slurm here; empty if there can."""
    if os.geteuid() != 0:
        return "a Slurm of our own needs root"
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    return f"a Slurm of our own needs Debian's packages: {', '.join(missing)}" if missing else ""


class Slurm:
    """The daemons, from `with` on."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="muster-slurm-"))  # short: paths of sockets have 107 bytes
        # Nothing of a Slurm that we may run under ourselves.
        self.environment = {name: words for name, words in os.environ.items() if not name.startswith("SLURM")}
        self.environment |= {"SLURM_CONF": str(self.folder / "slurm.conf"), "PYTHONPATH": str(ROOT)}
        self._daemons = []

    def __enter__(self):
        try:
            self._configure()
            self._start(
                "munged", "--foreground", "--force", *self._munge("socket", "key", "pid", "log", "seed"), wait="socket"
            )
            self.hidden.mkdir()
            self.controller = self.start_controller("-c")
            self.nodes = {node: self.start_node(node) for node in self.node_names}
            self.until_idle()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error):
        self.close()

    node_names = NODES

    def configuration(self):
        return CONFIGURATION.format(host=socket.gethostname(), folder=self.folder, ports=free_ports(4))

    def start_controller(self, *options):
        return self._start("slurmctld", "-D", *options)

    @property
    def hidden(self):
        """A folder that h3 has another one in the place of."""
        return self.folder / "hidden"

    def start_node(self, node):
        """Its slurmd."""
        own = ["slurmd", "-D", "-N", node]
        if node == "h3":
            own = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {self.hidden} && exec {' '.join(own)}"]
        return self._start(*own)

    def restart_controller(self):
        """As after a crash: jobs go on meanwhile."""
        self.controller.kill()
        self.controller.wait()
        self._daemons.remove(self.controller)
        self.controller = self.start_controller()

    def output(self, *words, timeout=60, **environment):
        """What a command prints, with this Slurm as the one that it talks to."""
        return self.run(*words, timeout=timeout, check=True, **environment).stdout

    def run(self, *words, timeout=60, check=False, **environment):
        return subprocess.run(
            list(map(str, words)),
            env=self.environment | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
            stdin=subprocess.DEVNULL,
        )

    def srun(self, *words, nodes=2, options=(), timeout=60, **environment):
        """A step of one task a node that runs a Python module."""
        command = ("srun", f"--nodes={nodes}", *options, sys.executable, "-m", *words)
        return self.run(*command, timeout=timeout, **environment)

    def close(self):
        if len(self._daemons) > 2:  # else it did not come to any jobs
            self._until_empty()
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in self._stepds():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self):
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(256))
        (self.folder / "slurm.conf").write_text(self.configuration())

    def _munge(self, *kinds):
        options = {"socket": "socket", "key": "key-file", "pid": "pid-file", "log": "log-file", "seed": "seed-file"}
        return [f"--{options[kind]}={self.folder}/munge.{kind}" for kind in kinds]

    def _start(self, *words, wait=None):
        with open(self.folder / f"daemon-{len(self._daemons)}.out", "ab") as out:
            daemon = subprocess.Popen(words, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self._daemons.append(daemon)
        end = time.monotonic() + READY_SECONDS
        while wait and not (self.folder / f"munge.{wait}").exists():
            self._check(end)
        return daemon

    def until_idle(self):
        end = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(subprocess.SubprocessError):
                states = self.output("sinfo", "--noheader", "--Node", "--partition=three", "--format=%T").split()
                if states == ["idle"] * len(self.node_names):
                    return
            self._check(end)

    def _until_empty(self):
        end = time.monotonic() + END_SECONDS
        with contextlib.suppress(subprocess.SubprocessError):
            self.run("scancel", "--user=root")
            while time.monotonic() < end and (self.output("squeue", "--noheader") or self._stepds()):
                time.sleep(0.1)

    def _stepds(self):
        """Those who watch over the tasks: they outlive their slurmd."""
        found = []
        for process in psutil.process_iter(["name"]):
            with contextlib.suppress(psutil.Error):
                ours = process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]
                if process.info["name"].startswith("slurmstepd") and ours:
                    found.append(process)
        return found

    def _check(self, end):
        ended = [daemon.args[0] for daemon in self._daemons if daemon.poll() is not None]
        if ended or time.monotonic() > end:
            told = "\n".join(path.read_text(errors="replace")[-1000:] for path in self.folder.glob("daemon-*.out"))
            raise RuntimeError(f"Slurm did not start ({', '.join(ended) or 'in time'}):\n{told}")
        time.sleep(0.1)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
