"""The tables of all rules: over one node's facts, over what was measured on it, and between nodes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cluster.topology.health import between, folders, gpu, load, ports, process, slow
from cluster.topology.health.finding import NodeRule, Said
from cluster.topology.node import Cluster

RESET = (
    "Stop what runs on it and reset it as root (`nvidia-smi --gpu-reset -i N`), or reboot the node; if it comes again, "
    "have the GPU replaced. Until then leave the node out."
)
SLOWEST = "Every step waits for the slowest rank, so that all others wait for this one."
COOLING = "Look at fans, air flow and power of the node (`nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER`)."


@dataclass(frozen=True, slots=True)
class ClusterRule:
    """One line of the table of rules between nodes."""

    name: str
    why: str
    remedy: str
    judge: Callable[[Cluster], Iterable[Said]]


FACT_RULES = (
    NodeRule("nvml", "Nothing can be said of its GPUs, and CUDA will hardly find them.", "", gpu.nvml),
    NodeRule("gpu-lost", "CUDA cannot use it: a run starts with fewer GPUs, or not at all.", RESET, gpu.lost),
    NodeRule("gpu-ecc", "Memory gave wrong bits that could not be put right: what was computed with them is lost.",
             RESET, gpu.ecc_errors),
    NodeRule("gpu-memory-rows", "The GPU goes on with memory that is known to be faulty until it is reset.",
             RESET, gpu.memory_rows),
    NodeRule("gpu-ecc-setting", "Without error correction flipped bits go unseen; with it there is less memory.",
             "As root: `nvidia-smi -i N -e 1` (or `-e 0`), then reset the GPU or reboot.", gpu.ecc_setting),
    NodeRule("gpu-xid", "The driver met an error of the hardware since this boot: it tends to come again.",
             f"Look the number up (docs.nvidia.com/deploy/xid-errors). {RESET}", gpu.xids),
    NodeRule("gpu-hot", "A GPU that is too hot lowers its clocks, and everybody waits for it.", COOLING, gpu.heat),
    NodeRule("gpu-slot", "Copies between main memory and GPU, and between GPUs without NVLink, are slower.",
             "Move the card to a faster slot, or raise the slot's speed in the BIOS.", gpu.poor_slot),
    NodeRule("gpu-nvlink", "NCCL falls back to fewer links or to PCIe without a word, and the whole job gets slower.",
             f"Look for Xid 74 and at `nvidia-smi nvlink -s`. {RESET}", gpu.links),
    NodeRule("gpu-fabric", "Until it is registered, CUDA does not start on it; degraded, its links carry less.",
             "Look at the fabric manager (`systemctl status nvidia-fabricmanager`, `nvidia-smi -q -d FABRIC`).",
             gpu.fabric),
    NodeRule("gpu-held-back", "It computes more slowly than it could, and everybody waits for it.", "", gpu.held_back),
    NodeRule("gpu-persistence", "The driver lets go of idle GPUs: starts take seconds more, and settings get lost.",
             "As root: `systemctl enable --now nvidia-persistenced`, or `nvidia-smi -pm 1`.", gpu.persistence),
    NodeRule("gpu-compute-mode", "At most one process can use the GPU, or none: a second one fails, ours or another's.",
             "As root: `nvidia-smi -i N -c DEFAULT`.", gpu.compute_mode),
    NodeRule("gpu-processes", "They take memory and time of the GPU: out of memory, or slow steps, are to be expected.",
             "Ask their owners, or end them (`nvidia-smi` shows them, `kill PID` ends them), or take another node.",
             gpu.other_processes),
    NodeRule("port-down", "What was to go out by this interface does not, or takes a slower way.",
             "Look at cable and switch; `ip link set NAME up` as root if it was only switched off.", ports.down),
    NodeRule("rdma-down", "NCCL leaves it out or fails: GPUs behind it share the ports of others.",
             "Look at cable, switch and `ibstat`; if it is meant to be unused, name the others in NCCL_IB_HCA.",
             ports.rdma_down),
    NodeRule("rdma-slow", f"NCCL spreads its traffic evenly over all ports. {SLOWEST}",
             "Reseat or replace the cable: a damaged lane makes a link come up slower (`ibstat`, `mlxlink`).",
             ports.rdma_slow),
    NodeRule("port-errors", "A link that damages what it carries repeats it, and may go down in a run.",
             "Clean or replace the cable, then clear the counters and see whether they grow.", ports.errors),
    NodeRule("disk-full", "Checkpoints, logs and prepared data can no longer be written: the run stops.",
             "Remove old runs and checkpoints, or set another folder.", folders.room),
    NodeRule("disk-inodes", "No more files can be made, however much room is left.",
             "Remove small files that nobody needs (old caches, logs), or set another folder.", folders.inodes),
    NodeRule("disk-read-only", "A run writes its logs and checkpoints there, preparation its data.",
             "Ask for the right to write, set another folder, or see in dmesg whether the disk went read-only.",
             folders.read_only),
    NodeRule("disk-not-shared", "Every node of a run must see the same files: this one would miss data or checkpoints.",
             "Mount the shared file system on this node, or name a folder that all nodes see.", folders.shared),
    NodeRule("shm-small", "NCCL, and worker processes of any loader, exchange data there: without room they fail.",
             "In a container: `docker run --shm-size=16g` (or `--ipc=host`); else as root: "
             "`mount -o remount,size=16G /dev/shm`.", process.shared_memory),
    NodeRule("memlock", "RDMA pins the memory that it sends from: NCCL fails with \"cannot allocate memory\".",
             "`ulimit -l unlimited`; for good: LimitMEMLOCK=infinity of slurmd's service, "
             "/etc/security/limits.conf, or `docker run --ulimit memlock=-1`.", process.locked_memory),
    NodeRule("open-files", "Ranks, shards and sockets need many files at once: \"too many open files\" comes late.",
             f"`ulimit -n {process.OPEN_FILES}`; for good: LimitNOFILE= of the service that starts the job, or "
             "/etc/security/limits.conf.", process.open_files),
    NodeRule("group-memory", "At its limit the kernel ends a process of the group; what it read from files counts too, "
             "which the kernel gives up first.",
             "Ask for more (`--mem=` of Slurm, `--memory` of Docker), or end what else runs in it.",
             process.group_memory),
    NodeRule("memory-low", "Preparation and loading need room, and the page cache keeps data fast.",
             "See who has it (`ps aux --sort=-rss | head`), and end it or take another node.",
             process.available_memory),
    NodeRule("cpu-quota", "Threads for all CPUs that it sees would be stopped in turn, for tenths of a second.",
             "Ask for as many CPUs as you use (`--cpus-per-task`, `--cpus`), or set the threads to the quota.",
             process.cpu_quota),
    NodeRule("busy", f"Somebody else works here. {SLOWEST}",
             "See who (`top`), and ask for the node alone (`--exclusive` of Slurm) or take another.", process.busy),
)  # fmt: skip
"""Cheap: they are gone through before every start."""

LOAD_RULES = (
    NodeRule("gpu-throttled", f"Its clocks are down while it works. {SLOWEST}", COOLING, load.throttled),
    NodeRule("gpu-hot-under-load", "A little warmer, and it lowers its clocks.", COOLING, load.hot),
    NodeRule("gpu-pcie", "Part of its lanes or of their speed is lost: all that goes to and from it is slower.",
             "Power the node off and reseat the card (and riser or cable); look at the slot's settings in the BIOS.",
             load.narrow),
    NodeRule("rate-low", "It does clearly less than its hardware allows.",
             "Look for other findings on this node first (throttling, links, other processes), then measure it alone "
             "again.", load.below_limit),
)  # fmt: skip

CLUSTER_RULES = (
    ClusterRule("missing", "It cannot take part: a run would wait for it until it times out.",
                "See whether it is up (`ping`, `sinfo -R`, `ssh`), and leave it out until then.", between.missing),
    ClusterRule("versions", "Ranks of different versions fail to join, or compute different things without a word.",
                "Install the same on all nodes; after a new driver reboot the node.", between.versions),
    ClusterRule("gpus-differ", "Ranks are given out evenly: some would have no GPU, or wait for slower ones.",
                "See whether a GPU is gone (`lspci | grep -i nvidia`, dmesg), or ask for nodes of one kind.",
                between.gpus),
    ClusterRule("clock", "Logs of different nodes cannot be put in order, and time-outs and certificates go wrong.",
                "Switch time synchronisation on (`timedatectl set-ntp true`; `chronyc tracking` shows it).",
                between.clocks),
    ClusterRule("node-slow", SLOWEST, "Measure it alone again; if it stays so, leave it out and have it looked at.",
                slow.rates),
    ClusterRule("network-slow", "What the nodes exchange in every step goes at the pace of the slowest way.",
                "Look at cable, switch port and error counters of the ways named, and measure again.", slow.pairs),
    ClusterRule("network-below-limit", "Training over several nodes waits for the network longer than it needs to.",
                "See that the right interface is used (NCCL_SOCKET_IFNAME, NCCL_IB_HCA, GLOO_SOCKET_IFNAME), that "
                "nobody else uses the network, and measure again.", slow.below_limit),
    ClusterRule("measured", "", "", slow.measured),
)  # fmt: skip
