"""Kubernetes without a cluster.

- `schemas`: holds manifests against the CRDs of other people's operators, strictly.
"""
