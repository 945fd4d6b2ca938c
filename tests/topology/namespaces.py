"""Several nodes on one machine: network namespaces with addresses of their own, joined by a bridge in one more.

Nothing of it touches the network of the machine itself, and all of it goes with `close`.
"""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
count = itertools.count()


def why_not():
    """Why there can be none here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the program ip (Debian: iproute2)"
    tried = subprocess.run(["unshare", "--net", "--mount", "--uts", "true"], capture_output=True, text=True)
    return f"network namespaces are refused here: {tried.stderr.strip()}" if tried.returncode else ""


class Nodes:
    """Node i has the address 10.77.0.1i on its eth0, and is called ni."""

    def __init__(self, nodes, folder):
        self.folder = folder
        self._name = f"muster-{os.getpid()}-{next(count)}"
        self.hub = f"{self._name}-hub"
        self._made, self._processes = [], []
        self._add(self.hub)
        ip("-n", self.hub, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.hub, "link", "set", "bridge", "up")
        for node in range(nodes):
            name = self.namespace(node)
            self._add(name)
            ip("-n", self.hub, "link", "add", f"to{node}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", self.hub, "link", "set", f"to{node}", "master", "bridge", "up")
            ip("-n", name, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")

    def namespace(self, node):
        return f"{self._name}-n{node}"

    def address(self, node):
        return f"10.77.0.1{node}"

    def start(self, node, *words, before="", **environment):
        """A command on a node. `before`: what its shell does first, in a mount namespace of its own."""
        script = f'hostname n{node}; {before or "true"} && exec "$@"'
        command = ["unshare", "--uts", "--mount", "sh", "-c", script, "sh", *map(str, words)]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace(node), *command],
            env=clean_environment() | {"PYTHONPATH": str(ROOT), "HOME": str(self.folder)} | environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def probe(self, node, nodes, *options, before="", module=("-m", "cluster.probe"), **environment):
        """As torchrun starts it on node `node` of so many."""
        own = self.torchrun(node, nodes) | environment
        return self.start(node, sys.executable, *module, *options, before=before, **own)

    def torchrun(self, node, nodes):
        return {
            "RANK": str(node), "LOCAL_RANK": "0", "WORLD_SIZE": str(nodes), "LOCAL_WORLD_SIZE": "1",
            "GROUP_RANK": str(node), "GROUP_WORLD_SIZE": str(nodes), "MASTER_ADDR": self.address(0),
            "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": self._name,
        }  # fmt: skip

    def srun(self, node, nodes):
        return {
            "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": f"n[0-{nodes - 1}]",
            "SLURM_STEP_NUM_TASKS": str(nodes), "SLURM_STEP_TASKS_PER_NODE": f"1(x{nodes})",
            "SLURM_PROCID": str(node), "SLURM_NODEID": str(node), "SLURM_LOCALID": "0",
            "SLURMD_NODENAME": f"n{node}",
        }  # fmt: skip

    def unplug(self, node):
        """Takes the cable of a node out."""
        ip("-n", self.hub, "link", "set", f"to{node}", "down")

    def close(self):
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for name in reversed(self._made):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def _add(self, name):
        ip("netns", "add", name)
        self._made.append(name)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def clean_environment():
    ours = ("SLURM", "TORCHELASTIC", "RANK", "WORLD_SIZE", "LOCAL_", "GROUP_", "MASTER_")
    return {name: words for name, words in os.environ.items() if not name.startswith(ours)}
