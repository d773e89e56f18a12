"""A real Kafka and a real Cassandra on loopback, with nothing but a JDK and Maven: for `make up` and the live tests.

Flow: `servers` asks `jars` for the class path, writes its configuration into the data directory, lets `processes` start
the JVM, and `readiness` says when it really works. Everything a server knows (ports, pid, log, data) lies in its data
directory, so that any later process finds it again by that directory alone.

- `servers`: `KafkaServer`, `KafkaCluster`, `CassandraServer`; all that others import.
- `lifecycle`: what they share: start, wait, stop; and `running` for fixtures.
- `errors`: the one error.
- `jars`: what is missing on this machine, and the jars Maven gathers once.
- `ports`: free loopback ports, the same again after a restart.
- `processes`: one JVM known by its pid file.
- `readiness`: one record appended and read; one query answered.
- `progress`: starting several at a time, with a line for each.
- `__main__`: `python -m infra.local up`, `down`, `status`.
- `pom.xml`: the exact versions.
- `kafka.properties`, `cassandra.yaml`: what is the same for every server; ports and directories are appended.
- `kafka.jvm`, `cassandra.jvm`: flags of the JVM; `logback.xml`: Cassandra's logging.

Deliberately not here: topics, keyspaces and tables (the rooms that own them create them), TLS and passwords, and any
claim to be fit for production: no fsync, small heaps, loopback only.
"""
