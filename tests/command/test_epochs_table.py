"""The table of epochs, which names each topic as Kafka has it."""

import pytest

from livecomments_command.epochs import table_of_epochs
from livecomments_schemas.epochs import epoch_opened
from tests.schemas.test_epochs import contract, fold, placed


@pytest.mark.parametrize("prefix", ["", "eu-"])
def test_a_topic_is_named_as_kafka_has_it(prefix: str) -> None:
    table = table_of_epochs(fold(placed([epoch_opened(contract(1))])), prefix)
    named = {str(column.header): list(column.cells) for column in table.columns}
    assert named["topic"] == [f"{prefix}comments-1"]
