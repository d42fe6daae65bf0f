"""A simulator of the fleet: the autoscaler's own policies on recorded request traces.

Discrete events, seeded, no clock of the wall. `python -m bench.fleet` compares policies.
"""
