"""What runs the stack on one's own machine. Not part of the distribution.

- `kafka/`: the topics as data, in a package of its own, which the wheel installs.
- `router/`: a video's partition and its home, in Lua, for both.
- `haproxy/`, `nginx/`: the load balancer's configuration as it is recommended; `make up` and compose.yaml run it.
- `varnish/`: with nginx's `crowd.conf` the caches before edges as they are recommended, for a crowd that polls.
- `kube/`: manifests of Kubernetes, held against what operators take.
- `operators/`: Kafka by Strimzi and ScyllaDB by its operator, with topics, users and their rights.
- `release/`: one release of everything, in step.
- `systemd/`: the embedded form, or each process of the other, as a service.
- `connect/`: Kafka Connect over the topics that data teams have.
- `dashboards/`: Grafana's, as code, written into the chart.
- `asyncapi`: the contract of the topics as AsyncAPI, written into `schemas/`.
- `local/`: all of it on loopback, for `make up`, for the live tests, and to be killed (`make faults`).
"""
