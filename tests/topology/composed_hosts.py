"""Machines that are not here, composed after the documented forms of /proc and /sys; none of them is a real recording.

Forms: man 5 proc, docs.kernel.org/admin-guide/cputopology.html, .../cgroup-v2.html, .../cgroup-v1/,
Documentation/ABI/stable/sysfs-devices-node and .../testing/sysfs-devices-system-cpu of the kernel.
"""

from collections import defaultdict
from pathlib import PurePosixPath

from cluster.topology import cpulist
from cluster.topology.source import Replay, key

CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"
GIB = 2**30

XEON = "fpu sse4_2 fma avx f16c avx2 avx512f avx512bw avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8"
GRACE = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 sm4"
    " asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm sb paca pacg dcpodp sve2 sveaes svepmull svebitperm svesha3"
    " svesm4 flagm2 frint svei8mm svebf16 i8mm bf16 dgh bti"
)

MOUNTS = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw
24 22 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw
"""
V2 = MOUNTS + "25 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
V1 = MOUNTS + (
    "25 24 0:25 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755\n"
    "26 25 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n"
    "31 25 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:16 - cgroup cgroup rw,cpu,cpuacct\n"
    "32 25 0:32 / /sys/fs/cgroup/memory rw,nosuid shared:17 - cgroup cgroup rw,memory\n"
    "33 25 0:33 / /sys/fs/cgroup/cpuset rw,nosuid shared:18 - cgroup cgroup rw,cpuset\n"
)


def replay(texts, calls=()):
    """A machine of some files and some answers to calls: {("affinity",): [0, 1]}."""
    children = defaultdict(set)
    for path in texts:
        for folder in PurePosixPath(path).parents:
            children[str(folder)].add(PurePosixPath(path).relative_to(folder).parts[0])
    answers = {key("text", path): {"value": words.strip()} for path, words in texts.items()}
    answers |= {key("names", folder): {"value": sorted(names)} for folder, names in children.items()}
    answers |= {key("call", *question): {"value": answer} for question, answer in dict(calls).items()}
    return Replay(answers)


def processors(sockets, nodes, cores, smt, offline=()):
    """Of each online CPU: socket, NUMA node, core within its socket. Numbered as Intel's firmware does: the first
    threads of all cores, then their siblings."""
    whole = nodes * cores
    places = [(number * sockets // nodes, number, core) for number in range(nodes) for core in range(cores)]
    found = {}
    for cpu in range(whole * smt):
        socket, number, core = places[cpu % whole]
        if cpu not in offline:
            found[cpu] = (socket, number, number % (nodes // sockets) * cores + core)
    return found


def server(sockets=2, nodes=2, cores=32, smt=2, offline=(), gib_per_node=256):
    """The files of an x86 server: every core with caches of its own, one third-level cache a NUMA node."""
    cpus = processors(sockets, nodes, cores, smt, offline)
    texts = {f"{CPUS}/online": cpulist.written(cpus)}
    blocks = []
    for cpu, (socket, number, core) in cpus.items():
        sharing = [other for other in cpus if cpus[other] == cpus[cpu]]
        near = [other for other in cpus if cpus[other][1] == number]
        texts |= {
            f"{CPUS}/cpu{cpu}/topology/physical_package_id": str(socket),
            f"{CPUS}/cpu{cpu}/topology/thread_siblings_list": cpulist.written(sharing),
            **cache(cpu, 0, 1, "Data", "48K", sharing),
            **cache(cpu, 1, 1, "Instruction", "32K", sharing),
            **cache(cpu, 2, 2, "Unified", "2048K", sharing),
            **cache(cpu, 3, 3, "Unified", "107520K", near),
        }
        blocks.append(
            f"processor\t: {cpu}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R)  Platinum 8480+\n"
            f"cpu MHz\t\t: {2000 + cpu}.000\nphysical id\t: {socket}\ncore id\t\t: {core}\nflags\t\t: {XEON}\n"
        )
    texts["/proc/cpuinfo"] = "\n".join(blocks)
    for number in range(nodes):
        near = [cpu for cpu in cpus if cpus[cpu][1] == number]
        texts |= numa_node(number, near, gib_per_node, [10 if other == number else 21 for other in range(nodes)])
    for policy in cpus:
        texts |= {
            f"{CPUS}/cpufreq/policy{policy}/cpuinfo_max_freq": "3800000",
            f"{CPUS}/cpufreq/policy{policy}/scaling_cur_freq": "2100000",
            f"{CPUS}/cpufreq/policy{policy}/scaling_governor": "performance" if policy else "powersave",
        }
    return texts


def grace():
    """The files of an Arm server with one socket, 72 cores, and the memory of a GPU as a NUMA node without CPUs."""
    every = list(range(72))
    texts = {f"{CPUS}/online": "0-71"}
    blocks = []
    for cpu in every:
        texts |= {
            f"{CPUS}/cpu{cpu}/topology/physical_package_id": "0",
            f"{CPUS}/cpu{cpu}/topology/thread_siblings_list": str(cpu),
            **cache(cpu, 0, 1, "Data", "64K", [cpu]),
            **cache(cpu, 1, 1, "Instruction", "64K", [cpu]),
            **cache(cpu, 2, 2, "Unified", "1024K", [cpu]),
            **cache(cpu, 3, 3, "Unified", "116736K", every),
        }
        blocks.append(
            f"processor\t: {cpu}\nBogoMIPS\t: 2000.00\nFeatures\t: {GRACE}\nCPU implementer\t: 0x41\n"
            "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd4f\nCPU revision\t: 0\n"
        )
    texts["/proc/cpuinfo"] = "\n".join(blocks)
    texts |= numa_node(0, every, 480, [10, 80]) | numa_node(1, [], 96, [80, 10])
    texts |= {f"{CPUS}/cpufreq/policy0/{name}": "3375000" for name in ("cpuinfo_max_freq", "scaling_cur_freq")}
    texts[f"{CPUS}/cpufreq/policy0/scaling_governor"] = "performance"
    return texts


def cache(cpu, index, level, kind, size, sharing):
    folder = f"{CPUS}/cpu{cpu}/cache/index{index}"
    told = {"level": str(level), "type": kind, "size": size, "shared_cpu_list": cpulist.written(sharing)}
    return {f"{folder}/{name}": words for name, words in told.items()}


def numa_node(number, cpus, gib, distances):
    folder = f"{NODES}/node{number}"
    kib = gib * 2**20
    return {
        f"{folder}/cpulist": cpulist.written(cpus),
        f"{folder}/meminfo": f"Node {number} MemTotal:  {kib} kB\nNode {number} MemFree:  {kib // 2} kB\n",
        f"{folder}/distance": " ".join(map(str, distances)),
    }


def group(folder, **files):
    """Control files of one group; two underscores stand for each dot in their names."""
    named = {f"{folder}/{name.replace('__', '.')}": words for name, words in files.items()}
    return {f"{folder}/cgroup.procs": ""} | named
