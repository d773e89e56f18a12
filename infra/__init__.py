"""What runs the stack on one's own machine. Not part of the distribution.

- `kafka/`: where one looks for the topics first; a page that says where they are.
- `local/`: a real Kafka and a real Cassandra on loopback, for `make up` and for the live tests.
"""
