"""What went wrong, taken out of the groups that task groups make of it."""

from livecomments_schemas.errors import leaves_of


def test_the_leaves_of_groups_in_groups_are_told_in_their_order_and_an_error_is_its_own() -> None:
    one, two, three = ValueError("1"), KeyboardInterrupt(), KeyError("3")
    group = BaseExceptionGroup("outer", [one, BaseExceptionGroup("inner", [two, three])])
    assert leaves_of(group) == [one, two, three]
    assert leaves_of(two) == [two]
