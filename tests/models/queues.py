"""Queues of any kind, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from compute.models.fluid import Line

lines = st.lists(
    st.builds(
        Line,
        client=st.sampled_from("abc"),
        mean=st.floats(0.01, 10),
        waiting=st.integers(0, 40),
        at_work=st.lists(st.floats(0, 5), max_size=2).map(tuple),
        weight=st.sampled_from([0.25, 1, 4]),
        at_once=st.none() | st.integers(1, 3),
        pool=st.sampled_from("pq"),
        begun=st.booleans(),
        served=st.none() | st.floats(0, 20),
        had=st.none() | st.floats(0, 20),
    ),
    min_size=1,
    max_size=8,
)
