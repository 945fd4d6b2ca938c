"""A composed node's processors, memory, limits and versions."""

from dataclasses import dataclass

from cluster.topology.fact import Unread
from tests.topology.composed import Composed

X86_FLAGS = "fpu sse sse2 ssse3 sse4_1 sse4_2 avx f16c fma avx2 avx512f avx512bw avx512vl avx512_bf16 amx_bf16 amx_int8"
ARM_FEATURES = "fp asimd asimdhp asimddp sve i8mm bf16 sve2"
BOOT_NAMESPACES = {"net": 4026531840, "pid": 4026531836, "mnt": 4026531841, "uts": 4026531838, "ipc": 4026531839}
"""Numbers that Linux gives to those it boots with (linux/proc_ns.h and what a plain system shows)."""
GIB, KIB = 1 << 30, 1 << 10
FOLDERS = {"/data": 100_000, "/runs": 100_000, "/tmp": 400, "/dev/shm": 0}
"""To their sizes in GiB; 0: half of the memory."""


@dataclass(frozen=True)
class Processors:
    model: str
    sockets: int
    cores: int
    """Of one socket."""
    memory_gib: int
    threads: int = 2
    architecture: str = "x86_64"
    virtual: bool = False

    @property
    def count(self) -> int:
        return self.sockets * self.cores * self.threads

    def of(self, socket: int) -> list[int]:
        """First threads of all cores first, as Linux numbers them."""
        whole = self.sockets * self.cores
        return [
            thread * whole + socket * self.cores + core for thread in range(self.threads) for core in range(self.cores)
        ]

    def near(self, socket: int) -> tuple[int, str, tuple[int, ...]]:
        """NUMA node, list and masks of a socket's CPUs."""
        cpus = self.of(socket)
        words = -(-self.count // 64)
        return socket, _listed(cpus, self.cores), tuple(_mask(cpus, word) for word in range(words))


def _listed(cpus: list[int], run: int) -> str:
    return ",".join(f"{cpus[start]}-{cpus[start + run - 1]}" for start in range(0, len(cpus), run))


def _mask(cpus: list[int], word: int) -> int:
    return sum(1 << cpu % 64 for cpu in cpus if cpu // 64 == word)


def add_host(made: Composed, processors: Processors, number: int, driver: str) -> None:
    _add_processors(made, processors)
    _add_memory(made, processors)
    _add_limits(made, processors)
    _add_system(made, processors, number, driver)


def _add_processors(made: Composed, processors: Processors) -> None:
    arm = processors.architecture == "aarch64"
    whole = processors.sockets * processors.cores
    told = []
    cpus = "/sys/devices/system/cpu"
    for cpu in range(processors.count):
        core = cpu % whole
        socket = core // processors.cores
        siblings = ",".join(str(core + thread * whole) for thread in range(processors.threads))
        topology = {
            "physical_package_id": socket,
            "core_id": core % processors.cores,
            "thread_siblings_list": siblings,
            "core_cpus_list": siblings,
            "package_cpus_list": processors.near(socket)[1],
        }
        for name, value in topology.items():
            made.file(f"{cpus}/cpu{cpu}/topology/{name}", value)
        caches = [
            ("1", "Data", "32K", siblings),
            ("2", "Unified", "2048K", siblings),
            ("3", "Unified", "32768K", topology["package_cpus_list"]),
        ]
        for place, (level, kind, size, sharing) in enumerate(caches):
            folder = f"{cpus}/cpu{cpu}/cache/index{place}"
            for name, value in {"level": level, "type": kind, "size": size, "shared_cpu_list": sharing}.items():
                made.file(f"{folder}/{name}", str(value))
        if arm:
            told.append(f"processor\t: {cpu}\nFeatures\t: {ARM_FEATURES}\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n")
        else:
            flags = X86_FLAGS + (" hypervisor" if processors.virtual else "")
            told.append(
                f"processor\t: {cpu}\nmodel name\t: {processors.model}\ncpu MHz\t\t: 2100.000\n"
                f"physical id\t: {socket}\ncore id\t\t: {core % processors.cores}\nflags\t\t: {flags}\n"
            )
    made.file("/proc/cpuinfo", "\n".join(told))
    for name in ("online", "possible", "present"):
        made.file(f"{cpus}/{name}", f"0-{processors.count - 1}")
    made.file("/proc/loadavg", "0.52 0.48 0.40 1/2000 4242")
    made.file("/proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0")


def _add_memory(made: Composed, processors: Processors) -> None:
    total = processors.memory_gib * GIB // KIB
    made.file(
        "/proc/meminfo",
        f"MemTotal: {total} kB\nMemFree: {total * 9 // 10} kB\nMemAvailable: {total * 19 // 20} kB\nSwapTotal: 0 kB\n"
        "SwapFree: 0 kB\nHugePages_Total: 0\nHugePages_Free: 0\nHugepagesize: 2048 kB",
    )
    made.file("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
    if processors.virtual:
        return
    for node in range(processors.sockets):
        folder, share = f"/sys/devices/system/node/node{node}", total // processors.sockets
        made.file(f"{folder}/cpulist", processors.near(node)[1])
        made.file(f"{folder}/meminfo", f"Node {node} MemTotal: {share} kB\nNode {node} MemFree: {share * 9 // 10} kB")
        made.file(
            f"{folder}/distance", " ".join("10" if other == node else "21" for other in range(processors.sockets))
        )
    made.file("/sys/devices/system/node/online", "0" if processors.sockets == 1 else f"0-{processors.sockets - 1}")


def _add_limits(made: Composed, processors: Processors) -> None:
    made.answer(list(range(processors.count)), "affinity")
    for name, value in {"memlock": "unlimited", "nofile": 1_048_576, "nproc": 1_000_000}.items():
        made.answer(value, "limit", name)
    for folder, gib in FOLDERS.items():
        size = (gib or processors.memory_gib // 2) * GIB
        room = {"size_bytes": size, "free_bytes": size * 9 // 10, "inodes": 10**9, "inodes_free": 9 * 10**8}
        made.answer(room, "room", folder)
        made.answer(True, "writable", folder)
        made.answer(folder, "nearest", folder)
    made.file("/proc/self/cgroup", "0::/user.slice")
    for name, value in {
        "cpu.max": "max 100000",
        "memory.max": "max",
        "memory.high": "max",
        "memory.current": GIB,
    }.items():
        made.file(f"/sys/fs/cgroup/user.slice/{name}", value)
    made.file("/sys/fs/cgroup/cgroup.procs", 1)
    made.file("/sys/fs/cgroup/user.slice/cgroup.procs", 4242)
    made.file("/sys/fs/cgroup/user.slice/cpuset.cpus.effective", f"0-{processors.count - 1}")
    allowed = "0" if processors.sockets == 1 else f"0-{processors.sockets - 1}"
    made.file(
        "/proc/self/status",
        f"Name:\tpython\nCpus_allowed_list:\t0-{processors.count - 1}\nMems_allowed_list:\t{allowed}",
    )
    made.file(
        "/proc/self/mountinfo",
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "23 22 0:20 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
        "24 22 0:21 / /dev/shm rw,nosuid shared:5 - tmpfs tmpfs rw\n"
        "25 22 0:40 / /data rw,relatime shared:6 - nfs4 server:/data rw,vers=4.2\n"
        "26 22 0:41 / /runs rw,relatime shared:7 - nfs4 server:/runs rw,vers=4.2",
    )


def _add_system(made: Composed, processors: Processors, number: int, driver: str) -> None:
    made.file("/proc/sys/kernel/random/boot_id", f"{number:08x}-0000-4000-8000-000000000000")
    made.file("/proc/sys/kernel/osrelease", "6.8.0-60-generic")
    made.file("/etc/os-release", 'NAME="Ubuntu"\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04.2 LTS"')
    made.file("/proc/uptime", "864000.00 100000000.00")
    made.file("/sys/class/dmi/id/sys_vendor", "QEMU" if processors.virtual else "Composed")
    made.file("/sys/class/dmi/id/product_name", "node for tests")
    made.file("/proc/1/cgroup", "0::/init.scope")
    if driver:
        made.file(
            "/proc/driver/nvidia/version",
            f"NVRM version: NVIDIA UNIX Open Kernel Module for {processors.architecture}  {driver}  Release Build",
        )
    for name, answer in {
        "hostname": f"node{number:04}",
        "architecture": processors.architecture,
        "python": "3.12.3",
        "time": 1_780_000_000.0,
        "user": 1000,
        "process": 4242,
        "environment": {},
        "kernel_log": {"since_seconds": 0.0, "lines": []},
    }.items():
        made.answer(answer, name, *(["NVRM: Xid"] if name == "kernel_log" else []))
    for kind, inode in BOOT_NAMESPACES.items():
        made.answer(f"{kind}:[{inode}]", "link", f"/proc/self/ns/{kind}")
    made.answer("/opt/torch", "place", "torch")
    made.file("/opt/torch/version.py", "__version__ = '2.13.0'\ncuda: Optional[str] = '12.8'")
    made.answer(Unread("absent", "there is no program sinfo here"), "program", "sinfo", "--version")
    packages = {"torch": "2.13.0", "numpy": "2.3.5", "spacy": "3.8.11", "muster-train": "0.1.0"}
    for package, version in (packages | {"nvidia-cudnn-cu12": "9.10.2.21", "nvidia-nccl-cu12": "2.29.3"}).items():
        made.answer(version, "version", package)
