"""One process of a measurement between nodes: names of the nodes, seconds and timeout in, the record as JSON out.

Called as a launcher would start it: who it is stands in the environment.
"""

import json
import sys

from cluster.rates import wire
from cluster.rates.measure import measure_between
from cluster.topology.node import Cluster, Node, to_json
from cluster.training.parallel import leave


def main() -> None:
    names, seconds = sys.argv[1].split(","), float(sys.argv[2])
    wire.LEAST_TIMEOUT_SECONDS = float(sys.argv[3])
    cluster = Cluster(nodes=tuple(Node(name=name) for name in names))
    measured = measure_between(cluster, seconds, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(to_json(measured)))
    leave(0)


if __name__ == "__main__":
    main()
