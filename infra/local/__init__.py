"""All of it on loopback, with nothing but a JDK, Maven and a load balancer: for `make up` and the live tests.

Flow: a server writes its configuration into its data directory, lets `processes` start it, and `readiness` says when it
really works. Everything it knows (ports, pid, log, data) lies in that directory, so that any later process finds it
again by the directory alone. `stack` puts servers, the processes of livecomments and the one address together.

- `stack`: `Stack`: all of it under one directory, each process by its name.
- `servers`: `KafkaServer`, `KafkaCluster`, `CassandraServer`; real ones, from their jars.
- `apps`: gateway, edge and stream job.
- `caches`: the recommended caches of a crowd, as programs.
- `balancer`: HAProxy or nginx with the configuration of `infra/haproxy`, `infra/nginx`.
- `prometheus`: Debian's, with the chart's rules, their times made shorter.
- `lifecycle`: what they all share: start, wait, stop; and `running` for fixtures.
- `errors`: the one error.
- `jars`: what is missing on this machine, and the jars Maven gathers once.
- `ports`: free loopback ports, the same again after a restart.
- `processes`: one process known by its pid file.
- `readiness`: one record appended and read; one query; one 200.
- `progress`: doing several things at a time, with a line for each.
- `collector`: takes spans, for tests and a picture.
- `epochs`: topics and an epoch of one's own on a Kafka that others use, for tests and benchmarks.
- `__main__`: `python -m infra.local up`, `down`, `status`.
- `pom.xml`: the exact versions.
- `kafka.properties`, `cassandra.yaml`: what is the same for every server; ports and directories are appended.
- `kafka.jvm`, `cassandra.jvm`: flags of the JVM; `logback.xml`: Cassandra's logging.

Deliberately not here: topics, keyspaces and tables (the rooms that own them create them), TLS and passwords, and any
claim to be fit for production: no fsync, small heaps, loopback only.
"""
