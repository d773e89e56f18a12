"""Kubernetes without a cluster, and with one of one's own for as long as it takes.

- `schemas`: holds manifests against the CRDs of other people's operators, strictly.
- `build.sh`: builds etcd, an API server, its controllers and scheduler, kwok and Helm from source, once.
- `cluster`: runs a command on those, with nodes and pods that kwok plays (`stages.yaml`).
- `rehearsal`: the chart's life on it: install, upgrade, evict, roll back, uninstall, and all examples. By hand: CI has
  no binaries for it; what it found stands in docs/OPERATING.md.
"""
