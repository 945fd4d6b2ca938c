"""A batch job of a real Slurm that trains a run, as its folder and Slurm show it."""

import hashlib
import json
import time


class Job:
    def __init__(self, slurm, number, run, log):
        self.slurm, self.number, self.run, self.log = slurm, number, run, log

    def state(self):
        words = self.slurm.run("scontrol", "--oneliner", "show", "job", self.number).stdout
        return dict(word.split("=", 1) for word in words.split() if "=" in word)

    def until(self, is_so, seconds=120):
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, self.told()
            time.sleep(0.05)

    def ended(self, seconds=180):
        """Its state when it has ended for good. Slurm would hold a requeued job back, and `sbatch --wait` looks again
        after 2, 8 and 32 seconds."""
        end = time.monotonic() + seconds
        while (state := self.state())["JobState"] not in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"):
            assert time.monotonic() < end, self.told()
            time.sleep(0.2)
            if state["JobState"] == "PENDING" and state["Reason"] == "BeginTime":
                time.sleep(1.5)  # what is started in the second of its requeue is taken for the start before
                self.slurm.run("scontrol", "update", f"JobId={self.number}", "StartTime=now")
        return state

    def until_step(self, step):
        self.until(lambda: self.step() >= step)

    def step(self):
        try:
            lines = (self.run / "metrics.jsonl").read_text().splitlines(keepends=True)
        except OSError:
            return 0
        return max([json.loads(line).get("step", 0) for line in lines if line.endswith("\n")], default=0)

    def verdict(self):
        """What verdict.json says; nothing before the first: it is written after the line of history."""
        path = self.run / "verdict.json"
        return json.loads(path.read_text()) if path.exists() else {"next": ""}

    def history(self):
        path = self.run / "attempts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def told(self):
        return f"{self.state()}\n{self.said()}"

    def said(self):
        return self.log.read_text() if self.log.exists() else ""

    def hashes(self):
        """SHA-256 of weights and optimizer of the newest checkpoint."""
        newest = max((self.run / "checkpoints").iterdir())
        names = ("model.safetensors", "optimizer.safetensors")
        return [hashlib.sha256((newest / name).read_bytes()).hexdigest() for name in names]

    def losses(self):
        lines = (json.loads(line) for line in (self.run / "metrics.jsonl").read_text().splitlines())
        return {line["step"]: line["loss"] for line in lines if line["kind"] == "step"}
