"""NVML by the names of its functions, answered in JSON; every error is a reason (`Unread`).

Names, arguments and structures are those of the module `pynvml` (package nvidia-ml-py, 13.615).
"""

import atexit
import contextlib
import ctypes
import functools
from typing import Any

from cluster.topology.fact import Status, Unread

NONE, TWO = (
    frozenset({"nvmlDeviceGetCount"}),
    frozenset({"nvmlDeviceGetTopologyCommonAncestor", "nvmlDeviceGetP2PStatus"}),
)
"""Functions of no device and of two; any other `nvmlDevice...` has one as its first argument."""
FILLED = {"nvmlDeviceGetGpuFabricInfoV": "c_nvmlGpuFabricInfoV_t"}
"""Functions that fill a structure of the caller's."""
VALUE_TYPES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Members of a field's value, by nvmlValueType_t."""

ERRORS: dict[int, tuple[str, Status, str]] = {
    1: ("Uninitialized", "error", "NVML was not started: a fault of muster"),
    2: ("InvalidArgument", "unsupported", "this GPU has no such part"),
    3: ("NotSupported", "unsupported", "this GPU, or the mode it is in, does not tell"),
    4: ("NoPermission", "denied", "this user may not ask: it needs root, or the GPU is not among those granted"),
    5: ("AlreadyInitialized", "error", "NVML was started twice: a fault of muster"),
    6: ("NotFound", "absent", "there is no such part of this GPU now"),
    7: ("InsufficientSize", "error", "the answer is longer than nvidia-ml-py foresees: update nvidia-ml-py"),
    8: ("InsufficientPower", "error", "the GPU's external power is not plugged in: check its power cables"),
    9: ("DriverNotLoaded", "absent", "the NVIDIA kernel module is not loaded: `modprobe nvidia`, then look in dmesg"),
    10: ("Timeout", "error", "the GPU did not answer in time: look for Xid errors in dmesg, then reset or reboot"),
    11: ("IrqIssue", "error", "the GPU's interrupts do not arrive: reboot; if it stays, look at its slot and the BIOS"),
    12: ("LibraryNotFound", "absent", "no NVIDIA driver (libnvidia-ml.so.1 is not here): install it, or give the "
         "container its GPUs"),
    13: ("FunctionNotFound", "unsupported", "this driver has no such function: it is too old, or too new for muster"),
    14: ("CorruptedInforom", "error", "the GPU's infoROM is corrupt: have the card serviced"),
    15: ("GpuIsLost", "error", "the GPU has fallen off the bus: look for Xid 79 in dmesg, reboot; if it comes again, "
         "replace the card"),
    16: ("ResetRequired", "error", "the GPU needs a reset: `nvidia-smi --gpu-reset` with nothing running on it, or "
         "reboot"),
    17: ("OperatingSystem", "denied", "the operating system or a control group blocks the GPU"),
    18: ("LibRmVersionMismatch", "error", "the driver was upgraded and the old kernel module is still loaded: reboot"),
    19: ("InUse", "error", "the GPU is in use in a way that keeps it from answering: stop its processes"),
    20: ("Memory", "error", "NVML got no memory from the system"),
    21: ("NoData", "unsupported", "the GPU has no data on this"),
    22: ("VgpuEccNotSupported", "unsupported", "not told while a virtual GPU runs with ECC on"),
    23: ("InsufficientResources", "error", "the GPU or the driver has run out of what the question needs"),
    24: ("FreqNotSupported", "unsupported", "the GPU does not know this clock"),
    25: ("ArgumentVersionMismatch", "unsupported", "driver and nvidia-ml-py do not agree: update the older one"),
    26: ("Deprecated", "unsupported", "this driver no longer answers this question: update muster"),
    27: ("NotReady", "error", "the GPU or its NVSwitch fabric is not ready yet: look at nvidia-fabricmanager"),
    28: ("GpuNotFound", "absent", "the driver found no GPU"),
    29: ("InvalidState", "error", "the GPU is in no state to answer: reset it or reboot"),
    30: ("ResetTypeNotSupported", "unsupported", "the GPU knows no such reset"),
    999: ("Unknown", "error", "the driver met an error of its own: look for NVRM and Xid lines in dmesg"),
}  # fmt: skip
"""nvmlReturn_t: its name in pynvml, the kind of reason, and in words what it means and what to do."""


def refused(code: int) -> Unread:
    """The reason that an NVML error is."""
    name, status, words = ERRORS.get(code, (str(code), "error", "an error that this version of muster does not know"))
    return Unread(status, f"{words} (NVML: {name})")


def ask(name: str, *arguments: str | int) -> Any:
    """What an NVML function answers: structures as objects, numbers of enumerations as they are.

    A device is its number in NVML's order, a MIG slice "0.mig1". `nvmlInit` and `nvmlDeviceGetHandleByIndex` answer
    None if they succeed; `nvmlDeviceGetFieldValues` is asked for one field of one scope at a time. Raises Unread.
    """
    try:
        import pynvml
    except ImportError:
        raise Unread("absent", "the package nvidia-ml-py is not installed: `pip install nvidia-ml-py`") from None
    if not hasattr(pynvml, name):
        raise Unread("unsupported", f"this version of nvidia-ml-py has no {name}: update it")
    try:
        _start(pynvml)
        return plain(_answer(pynvml, name, arguments))
    except pynvml.NVMLError as error:
        raise refused(error.value) from None
    except pynvml.NVMLLibraryMismatchError:
        raise refused(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND) from None


def _answer(pynvml: Any, name: str, arguments: tuple[str | int, ...]) -> Any:
    if name == "nvmlInit":
        return None
    if not name.startswith("nvmlDevice") or name in NONE:
        return getattr(pynvml, name)(*arguments)
    devices = 2 if name in TWO else 1
    handles = [_handle(pynvml, device) for device in arguments[:devices]]
    if name == "nvmlDeviceGetHandleByIndex":
        return None
    if name == "nvmlDeviceGetFieldValues":
        return _field(pynvml, handles[0], int(arguments[1]), int(arguments[2]))
    if name in FILLED:
        structure = getattr(pynvml, FILLED[name])()
        getattr(pynvml, name)(handles[0], ctypes.byref(structure))
        return structure
    return getattr(pynvml, name)(*handles, *arguments[devices:])


def _handle(pynvml: Any, device: str | int) -> Any:
    gpu, _, piece = str(device).partition(".mig")
    handle = pynvml.nvmlDeviceGetHandleByIndex(int(gpu))
    return pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, int(piece)) if piece else handle


def _field(pynvml: Any, handle: Any, field: int, scope: int) -> Any:
    (answer,) = pynvml.nvmlDeviceGetFieldValues(handle, [(field, scope)])
    if answer.nvmlReturn:
        raise pynvml.NVMLError(answer.nvmlReturn)
    return getattr(answer.value, VALUE_TYPES[answer.valueType])


@functools.cache
def _start(pynvml: Any) -> None:
    """Once in a process; it is asked again if it failed."""
    pynvml.nvmlInit()

    @atexit.register
    def stop() -> None:
        with contextlib.suppress(Exception):  # the interpreter is going down: nobody is left to be told
            pynvml.nvmlShutdown()


def plain(value: Any) -> Any:
    """As JSON. Raises TypeError for what has no such form."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, ctypes.Structure):
        return {name: plain(getattr(value, name)) for name, *_ in value._fields_}
    if isinstance(value, list | tuple | ctypes.Array):
        return [plain(one) for one in value]
    if hasattr(value, "__dict__"):
        return {name: plain(one) for name, one in vars(value).items()}
    raise TypeError(f"NVML answered with {type(value).__name__}")
