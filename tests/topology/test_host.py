"""Who a node is and what runs on it: this machine beside its own programs, in namespaces, and machines not here."""

import platform
import re
import subprocess
import sys
import time
from datetime import datetime

import numpy
import pytest

from cluster.topology import calls, versions
from cluster.topology.fact import Unread
from cluster.topology.host import read_host, read_software
from cluster.topology.inside import read_container, read_hypervisor
from tests.topology import composed_hosts as composed
from tests.topology.asked import NOBODY, ROOT, after, asked, every_fact, here, said
from tests.topology.programs import as_root, printed

BOXED = ("unshare", "--mount", "--pid", "--net", "--uts", "--fork")
FLAGS = "processor : 0\nflags : fpu avx2 hypervisor"
METAL = "processor : 0\nflags : fpu avx2"
DMI = "/sys/class/dmi/id"
CLOCKS = "/sys/devices/system/clocksource/clocksource0/available_clocksource"
X86, ARM = {("architecture",): "x86_64"}, {("architecture",): "aarch64"}


@pytest.fixture(scope="module")
def live():
    return said(here())


def test_as_the_system_says(live):
    host, software = live.host, live.software
    assert host.name.value == platform.node()
    assert software.kernel.value == printed("uname", "-r").strip()
    assert software.python.value == platform.python_version()
    assert software.operating_system.value == platform.freedesktop_os_release()["PRETTY_NAME"]
    assert re.fullmatch(r"[0-9a-f-]{36}", host.boot.value)
    assert abs(datetime.fromisoformat(host.time_utc.value).timestamp() - time.time()) < 120
    assert abs(host.uptime_seconds.value - float(printed("cat", "/proc/uptime").split()[0])) < 120
    assert host.clock_skew_seconds.why.startswith("one node alone")


def test_versions_as_the_packages_say(live):
    torch = pytest.importorskip("torch")
    assert live.software.torch.value == torch.__version__
    assert live.software.cuda.value == torch.version.cuda
    assert live.software.numpy.value == numpy.__version__
    assert live.software.gloo.known == torch.distributed.is_gloo_available()


def test_a_virtual_machine_as_lscpu_says(live):
    vendor = re.search(r"^Hypervisor vendor:\s*(.*)", printed("lscpu"), re.MULTILINE)
    if vendor is None:
        assert live.host.hypervisor.status in {"absent", "unsupported"}
    else:
        theirs = {"Microsoft": "Hyper-V"}.get(vendor[1], vendor[1])
        assert live.host.hypervisor.value in {theirs, "QEMU", "yes"}  # lscpu asks the processor, we ask the kernel


def test_neither_torch_nor_spacy_is_imported():
    ask = (
        "import sys; from cluster.topology.calls import call; from cluster.topology.source import Live;"
        "from cluster.topology.host import read_software; print(read_software(Live(call)).torch.value);"
        "print(sorted({'torch', 'spacy', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[1] == "[]"


def test_no_secret_of_the_environment_is_recorded():
    secrets = {"HF_TOKEN": "hush", "AWS_SECRET_ACCESS_KEY": "hush", "WANDB_API_KEY": "hush", "NCCL_SECRET": "hush"}
    record = asked(**secrets, CUDA_VISIBLE_DEVICES="0", NCCL_DEBUG="WARN")
    assert record.software.environment.value.items() >= {"CUDA_VISIBLE_DEVICES": "0", "NCCL_DEBUG": "WARN"}.items()
    assert set(record.software.environment.value) <= set(calls.ENVIRONMENT)
    assert "hush" not in repr(record)


def test_no_name_on_the_list_is_that_of_a_secret():
    words = ("TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL", "AUTH", "COOKIE", "PROXY")
    assert [name for name in calls.ENVIRONMENT if any(word in name.upper() for word in words)] == []


def test_namespaces_of_its_own_like_a_container(live):
    as_root()
    boxed = said(asked(*BOXED, *after("mount -t proc proc /proc; mount -t tmpfs none /sys; hostname boxed")))
    assert boxed.host.name.value == "boxed"
    assert boxed.host.boot.value == live.host.boot.value  # one machine ...
    assert boxed.host.network_namespace.value != live.host.network_namespace.value  # ... with two networks
    assert boxed.host.container.known
    assert boxed.host.product.status == "denied"


def test_a_process_of_its_own_user_is_told_the_same(live):
    as_root()
    theirs = said(asked(user=NOBODY))
    lasting = {
        place: fact for place, fact, live in every_fact(live) if place.startswith(("host", "software")) and not live
    }
    assert {place: fact for place, fact, _ in every_fact(theirs) if place in lasting} == lasting


def test_without_proc_and_sys_there_are_reasons():
    as_root()
    bare = said(asked("unshare", "--mount", *after("mount -t tmpfs none /sys; mount -t tmpfs none /proc")))
    assert (bare.host.boot.status, bare.host.uptime_seconds.why) == ("denied", "/proc is hidden here")
    assert bare.host.name.known
    assert bare.software.torch.known


@pytest.mark.parametrize(
    "texts, calls_, value",
    [
        ({"/proc/cpuinfo": FLAGS}, X86, "yes"),
        ({"/proc/cpuinfo": FLAGS, CLOCKS: "tsc kvm-clock acpi_pm"}, X86, "KVM"),
        ({"/proc/cpuinfo": FLAGS, CLOCKS: "hyperv_clocksource_tsc_page acpi_pm"}, X86, "Hyper-V"),
        ({"/proc/cpuinfo": FLAGS, f"{DMI}/product_name": "VMware7,1", CLOCKS: "tsc hpet"}, X86, "VMware"),
        ({"/proc/cpuinfo": METAL, "/sys/hypervisor/type": "xen"}, X86, "Xen"),
        ({"/proc/cpuinfo": METAL, f"{DMI}/product_name": "PowerEdge XE9680", CLOCKS: "tsc hpet"}, X86, None),
        ({"/proc/cpuinfo": METAL, f"{DMI}/sys_vendor": "Amazon EC2", f"{DMI}/product_name": "p5.metal"}, X86, None),
        ({f"{DMI}/sys_vendor": "Amazon EC2", f"{DMI}/product_name": "g5g.xlarge"}, ARM, "Nitro"),
        ({f"{DMI}/sys_vendor": "Amazon EC2", f"{DMI}/product_name": "g5g.metal"}, ARM, None),
        ({"/proc/device-tree/hypervisor/compatible": "linux,kvm"}, ARM, "KVM"),
        ({"/proc/cpuinfo": FLAGS}, {}, None),
    ],
)
def test_hypervisors(texts, calls_, value):
    fact = read_hypervisor(composed.replay(texts, calls_))
    assert fact.value == value
    assert fact.known or fact.why


OWN = {("link", "/proc/self/ns/mnt"): "mnt:[4026532177]", ("link", "/proc/self/ns/pid"): "pid:[4026532179]"}
OF_BOOT = {("link", "/proc/self/ns/mnt"): "mnt:[4026531841]", ("link", "/proc/self/ns/pid"): "pid:[4026531836]"}
ONLY_MOUNTS = OWN | {("link", "/proc/self/ns/pid"): "pid:[4026531836]"}
HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "texts, links, environment, value",
    [
        ({"/.dockerenv": ""}, OWN, {}, "Docker"),
        ({"/.dockerenv": ""}, {}, {}, "Docker"),  # a recording without namespaces
        ({"/.dockerenv": ""}, OF_BOOT, {}, None),  # a machine that was made from an image
        ({"/run/.containerenv": 'engine="podman-4.9.4"\nname="x"'}, OWN, {"container": "oci"}, "podman-4.9.4"),
        ({"/run/.containerenv": ""}, OWN, {}, "Podman"),
        ({}, ONLY_MOUNTS, {"APPTAINER_NAME": "muster.sif", "SINGULARITY_NAME": "muster.sif"}, "Apptainer"),
        ({}, ONLY_MOUNTS, {"SINGULARITY_NAME": "muster.sif"}, "Singularity"),
        ({"/var/run/secrets/kubernetes.io/serviceaccount/namespace": "x"}, OWN, {}, "Kubernetes"),
        ({"/proc/1/cgroup": f"0::/kubepods.slice/cri-containerd-{HEX}.scope"}, OWN, {}, "Kubernetes"),
        ({"/proc/self/cgroup": f"4:cpu,cpuacct:/docker/{HEX}"}, OWN, {}, "Docker"),
        ({"/proc/self/cgroup": "0::/system.slice/docker.service"}, ONLY_MOUNTS, {}, None),  # docker's own daemon
        ({}, OWN, {"container": "lxc"}, "lxc"),
        ({}, OWN, {}, "unnamed, with process numbers of its own"),
        ({}, ONLY_MOUNTS, {}, None),  # a service with a /tmp of its own
    ],
)
def test_containers(texts, links, environment, value):
    fact = read_container(composed.replay(texts, links | {("environment",): environment}))
    assert fact.value == value
    assert fact.source
    assert fact.known or fact.status == "absent"


def test_what_the_firmware_calls_a_machine():
    dell = composed.replay({f"{DMI}/sys_vendor": "Dell Inc.", f"{DMI}/product_name": "PowerEdge XE9680"})
    assert read_host(dell).product.value == "Dell Inc. PowerEdge XE9680"
    assert read_host(composed.replay({"/proc/device-tree/model": "NVIDIA Jetson"})).product.value == "NVIDIA Jetson"


def packages(cuda, **versions_):
    torch = {
        "/site/torch/version.py": f"__version__ = '2.13.0'\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = None\n"
    }
    installed = {("version", name.replace("_", "-")): words for name, words in versions_.items()}
    return torch, installed | {("place", "torch"): "/site/torch", ("environment",): {}}


def test_torch_with_cuda():
    texts, answers = packages("'13.0'", torch="2.13.0", nvidia_cudnn_cu13="9.20.0.48", nvidia_nccl_cu13="2.29.7")
    texts |= {
        "/proc/driver/nvidia/version": (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.82.07  Release Build  (root@build)\n"
            "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)"
        ),
        "/sys/module/nvidia_peermem/version": "580.82.07",
        "/etc/os-release": "NAME='Rocky Linux'\nPRETTY_NAME=\"Rocky Linux 9.4 (Blue Onyx)\"\n",
    }
    software = read_software(composed.replay(texts, answers))
    assert (software.torch.value, software.cuda.value) == ("2.13.0", "13.0")
    assert (software.cudnn.value, software.nccl.value) == ("9.20.0.48", "2.29.7")
    assert software.nccl.source == "the package nvidia-nccl-cu13"
    assert software.driver.value == "580.82.07"
    assert software.gpudirect.value == "nvidia_peermem 580.82.07"
    assert software.operating_system.value == "Rocky Linux 9.4 (Blue Onyx)"


def test_libraries_of_the_system_where_torch_brings_none():
    texts, answers = packages("'12.8'", torch="2.11.0a0")
    texts["/usr/include/nccl.h"] = "#define NCCL_MAJOR 2\n#define NCCL_MINOR 26\n#define NCCL_PATCH 3\n"
    texts["/usr/include/cudnn_version.h"] = (
        "#define CUDNN_MAJOR 9\n#define CUDNN_MINOR 8\n#define CUDNN_PATCHLEVEL 0\n#define CUDNN_VERSION (CUDNN_MAJOR)"
    )
    software = read_software(composed.replay(texts, answers))
    assert (software.nccl.value, software.nccl.source) == ("2.26.3", "/usr/include/nccl.h")
    assert software.cudnn.value == "9.8.0"


def test_torch_without_cuda_has_none_of_its_libraries():
    texts, answers = packages("None", torch="2.13.0+cpu", nvidia_nccl_cu13="2.29.7")
    software = read_software(composed.replay(texts, answers))
    for fact in (software.cuda, software.cudnn, software.nccl):
        assert (fact.status, fact.why) == ("absent", "this torch was built without CUDA")


@pytest.mark.parametrize(
    "program, environment, value",
    [
        ("slurm-wlm 22.05.8", {}, "slurm-wlm 22.05.8"),
        ("slurm 25.05.1", {"SLURM_JOB_ID": "7"}, "slurm 25.05.1"),
        (None, {"SLURM_JOB_ID": "7"}, "slurm"),  # in a container of the allocation
        (None, {}, None),
    ],
)
def test_schedulers(program, environment, value):
    answers = {("environment",): environment} | ({("program", "sinfo", "--version"): program} if program else {})
    scheduler = read_software(composed.replay({}, answers)).scheduler
    assert scheduler.value == value
    assert scheduler.known or scheduler.why


@pytest.mark.parametrize(
    "words, version",
    [
        ("cuda: Optional[str] = '12.4'", "12.4"),
        ('cuda: Final[str | None] = "13.0"\nhip = None', "13.0"),
        ("cuda = '11.8'", "11.8"),
    ],
)
def test_cuda_in_words_of_several_torches(words, version):
    assert versions.cuda(words) == version


def test_a_torch_for_rocm_says_so():
    with pytest.raises(Unread, match=r"ROCm 6\.4"):
        versions.cuda("cuda: Optional[str] = None\nhip: Optional[str] = '6.4.43482'\n")


@pytest.mark.parametrize(
    "words, version",
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023", "535.129.03"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  570.86.15  Release Build  (x)", "570.86.15"),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54", "550.54"),
    ],
)
def test_drivers(words, version):
    assert versions.driver(words) == version


@pytest.mark.parametrize(
    "words, name", [("NAME=Arch", "Arch"), ("PRETTY_NAME=\"A 'b' 1\"\nNAME=A", "A 'b' 1"), ("ID=x\nNAME='Q 2'", "Q 2")]
)
def test_operating_systems(words, name):
    assert versions.operating_system(words) == name


def test_other_words_are_refused():
    for read in (versions.driver, versions.operating_system, lambda words: versions.header(words, "NCCL")):
        with pytest.raises(Unread):
            read("something else\n")
