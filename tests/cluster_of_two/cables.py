"""A real Slurm of two nodes with addresses, host names and cables of their own: each node in network and host name
namespaces of this machine, on one bridge. Their names do not resolve, and each has a second interface that leads
nowhere. Needs root."""

import contextlib
import os
import shutil
import subprocess

from tests.cluster_of_two.slurm import Slurm, free_ports
from tests.cluster_of_two.slurm import why_not as why_no_slurm

NODES = ("n0", "n1")
CONFIGURATION = """\
ClusterName=cables
SlurmctldHost=ctl({subnet}.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
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
NodeName=n0 NodeAddr={subnet}.10 CPUs=4 RealMemory=4000
NodeName=n1 NodeAddr={subnet}.11 CPUs=4 RealMemory=4000
PartitionName=three Nodes=n[0-1] Default=YES MaxTime=INFINITE State=UP
"""


def why_not():
    """Why there can be no such cluster here; empty if there can."""
    if why := why_no_slurm():
        return why
    if not (shutil.which("ip") and shutil.which("nsenter") and shutil.which("unshare")):
        return "nodes with cables of their own need ip, nsenter and unshare"
    tried = subprocess.run(["ip", "netns", "add", "muster-try"], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", "muster-try"], capture_output=True)
    return f"this kernel gives us no network namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


class Cables(Slurm):
    def __init__(self):
        super().__init__()
        mark = os.getpid() % 5_000
        self.subnet, self._bridge = f"10.{120 + mark // 100}.{mark % 100}", f"mc{mark}"
        self._spaces = {node: f"muster-{mark}-{node}" for node in NODES}
        self._outer = {node: f"mc{mark}-{node}" for node in NODES}

    node_names = NODES

    def cut(self, node):
        """Pull the cable of a node."""
        ip("-n", self._spaces[node], "link", "set", "eth0", "down")

    def mend(self, node):
        ip("-n", self._spaces[node], "link", "set", "eth0", "up")

    def configuration(self):
        self._lay()
        return CONFIGURATION.format(subnet=self.subnet, folder=self.folder, port=free_ports(1)[0])

    def start_controller(self, *options):
        return self._start("unshare", "--uts", "sh", "-c", f"hostname ctl && exec slurmctld -D {' '.join(options)}")

    def start_node(self, node):
        named = f"hostname {node} && exec slurmd -D"
        return self._start("nsenter", f"--net=/run/netns/{self._spaces[node]}", "unshare", "--uts", "sh", "-c", named)

    def close(self):
        super().close()
        for node in NODES:
            for words in (("link", "del", self._outer[node]), ("netns", "del", self._spaces[node])):
                with contextlib.suppress(subprocess.CalledProcessError):
                    ip(*words)
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", self._bridge)

    def _lay(self):
        ip("link", "add", self._bridge, "type", "bridge")
        ip("addr", "add", f"{self.subnet}.1/24", "dev", self._bridge)
        ip("link", "set", self._bridge, "up")
        for number, node in enumerate(NODES):
            space, outer = self._spaces[node], self._outer[node]
            ip("netns", "add", space)
            ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("link", "set", outer, "master", self._bridge, "up")
            ip("-n", space, "addr", "add", f"{self.subnet}.{10 + number}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")
            ip("-n", space, "link", "add", "aside", "type", "veth", "peer", "name", "nowhere")
            ip("-n", space, "addr", "add", f"192.168.77.{10 + number}/24", "dev", "aside")
            ip("-n", space, "link", "set", "aside", "up")
            ip("-n", space, "link", "set", "nowhere", "up")
