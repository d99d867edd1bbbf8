"""A Bitcoin peer and exchanges to run against on loopback: demo, paper trading and fault tests.

Nothing here uses hftcore: the simulators judge it, so they share no code with it.
"""
