"""A Bitcoin peer and exchanges to run against on loopback: demo, paper trading and fault tests."""
