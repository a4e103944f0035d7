"""Shapes from the field: what providers were seen to answer, and what must come out of the gateway.

A module a kind, each with its table ``CASES``; ``test_wire`` sends every case through a running gateway, as JSON and as
a stream, over real HTTP. A new report becomes a row.
"""
