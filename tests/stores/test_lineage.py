"""What was built on what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stores.lineage import dependents_first, with_dependents

CHAIN = {"a": [], "b": ["a"], "c": ["b"], "d": ["a"], "e": ["c", "d"], "f": ["lost"]}


@st.composite
def lineages(draw: st.DrawFn) -> dict[str, list[str]]:
    """Each id is built on some of those before it, and perhaps on one that is not there."""
    inputs: dict[str, list[str]] = {}
    for number in range(draw(st.integers(0, 12))):
        inputs[str(number)] = draw(st.lists(st.sampled_from([*inputs, "lost"]), max_size=3, unique=True))
    return inputs


def test_dependents_are_reached_near_and_far() -> None:
    assert with_dependents(CHAIN, ["b"]) == {"b", "c", "e"}
    assert with_dependents(CHAIN, ["d", "lost"]) == {"d", "e", "lost", "f"}
    assert with_dependents(CHAIN, ["unheard of"]) == {"unheard of"}


def test_a_chain_longer_than_python_can_recurse_has_an_order() -> None:
    inputs = {str(number): [str(number - 1)] if number else [] for number in range(5000)}
    assert dependents_first(inputs, set(inputs)) == [str(number) for number in reversed(range(5000))]


@given(lineages())
def test_an_order_never_has_an_input_before_what_was_built_on_it(inputs: dict[str, list[str]]) -> None:
    order = dependents_first(inputs, set(inputs))
    assert sorted(order) == sorted(inputs)
    for place, id in enumerate(order):
        assert not set(inputs[id]) & set(order[:place])


@given(lineages(), st.data())
def test_nothing_that_stays_was_built_on_something_that_goes(inputs: dict[str, list[str]], data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.sampled_from([*inputs, "lost"])))
    gone = with_dependents(inputs, chosen)
    assert chosen <= gone
    assert not any(set(inputs[id]) & gone for id in inputs.keys() - gone)
