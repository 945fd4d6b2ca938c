"""Recordings composed by hand, for tests: the answers that a machine would give, as `source.py` asks for them.

Made from the documented layout of /sys (docs.kernel.org, ABI/testing/sysfs-class-net, sysfs-class-infiniband,
sysfs-bus-pci), not recorded anywhere.
"""

from cluster.topology.source import Replay, key


class Machine:
    """Answers, put together piece by piece."""

    def __init__(self):
        self.answers = {}
        self.addresses = {}

    def replay(self):
        answers = dict(self.answers)
        answers[key("call", "addresses")] = {"value": self.addresses}
        for folder in ("/sys/class/net", "/sys/class/infiniband"):
            here = {question.split("/")[4] for question in answers if question.startswith(f"text {folder}/")}
            if here:
                answers[key("names", folder)] = {"value": sorted(here)}
        return Replay(answers)

    def text(self, path, words):
        self.answers[key("text", path)] = {"value": words}
        return self

    def refuses(self, path, errno, words):
        self.answers[key("text", path)] = {"errno": errno, "words": words}
        return self

    def names(self, path, *names):
        self.answers[key("names", path)] = {"value": list(names)}
        return self

    def link(self, path, target):
        self.answers[key("real", path)] = {"value": target}
        return self

    def interface(self, name, type="1", operstate="up", speed="1000", carrier="1", index=2, addresses=(), **files):
        """One interface; a file that is None cannot be read while it is down ("Invalid argument")."""
        folder = f"/sys/class/net/{name}"
        files = {
            "type": type, "operstate": operstate, "speed": speed, "carrier": carrier, "mtu": "1500",
            "address": "02:00:00:00:00:01", "ifindex": str(index), "iflink": str(index), "uevent": f"INTERFACE={name}",
            "statistics/rx_errors": "3", "statistics/tx_errors": "4", **files,
        }  # fmt: skip
        for file, words in files.items():
            if words is None:
                self.refuses(f"{folder}/{file}", 22, "Invalid argument")
            else:
                self.text(f"{folder}/{file}", words)
        self.addresses[name] = [list(address) for address in addresses]
        self.names(folder, *{file.partition("/")[0] for file in files})
        return self

    def on_bus(self, name, bus_id, driver, numa="0", speed="16.0 GT/s PCIe", width="16", below="", bus="pci"):
        """Puts an interface on a PCI device."""
        device = f"/sys/devices/pci0000:00/{bus_id}{below}"
        folder = f"/sys/class/net/{name}"
        self.link(f"{folder}/device", device)
        self.link(f"{folder}/device/driver", f"/sys/bus/{bus}/drivers/{driver}")
        self.link(f"{folder}/device/subsystem", f"/sys/bus/{bus}")
        self.pci(bus_id, numa, speed, width)
        return self

    def pci(self, bus_id, numa, speed, width):
        folder = f"/sys/bus/pci/devices/{bus_id}"
        self.text(f"{folder}/numa_node", numa).text(f"{folder}/vendor", "0x15b3")
        if speed:
            self.text(f"{folder}/current_link_speed", speed).text(f"{folder}/current_link_width", width)
        return self

    def rdma(self, device, bus_id, rate, layer="InfiniBand", state="4: ACTIVE", physical="5: LinkUp", **counters):
        whole, port = f"/sys/class/infiniband/{device}", f"/sys/class/infiniband/{device}/ports/1"
        self.names(f"{whole}/ports", "1").link(f"{whole}/device", f"/sys/devices/pci0000:00/{bus_id}")
        self.text(f"{whole}/fw_ver", "28.39.1002").text(f"{whole}/node_guid", "a088:c203:0012:3456")
        self.text(f"{port}/link_layer", layer).text(f"{port}/state", state)
        self.text(f"{port}/phys_state", physical).text(f"{port}/rate", rate)
        for name, count in counters.items():
            self.text(f"{port}/counters/{name}", count)
        return self
