"""What supervisor and agents agree on about the lines between them; the messages are `cluster/topology/frames.py`'s.

An agent says: hello, ready or failed, beat (twice a second), hung, dumped, ended. The supervisor says: welcome, go,
alive (twice a second), stop (save a checkpoint, then end), dump (where is every rank?), end (at once).
"""

DESK = "MUSTER_DESK"
"""Environment variable: where the supervisor listens, and the token that it asks for, as JSON."""
NODE = "MUSTER_NODE"
"""Environment variable: the number of an agent's node where no scheduler says it."""
BEAT_SECONDS = 0.5
SILENT_SECONDS = 5.0
"""A side that has not been heard for so long is taken to be gone."""
REPORT_BYTES = 16 << 20
"""The most that is taken of an agent at once: the facts of a node with 16 GPUs have 300 kB."""
CHUNK_BYTES = 1 << 18
