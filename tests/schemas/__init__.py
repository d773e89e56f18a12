"""What travels: units, properties and golden examples.

- `records`: a log of one partition for tests, whose video ids are all at home in it.
- `reference`: what a record is, by the words of the definition and nothing else.
- `texts`: what people of the world write, and must be able to write here.
"""
