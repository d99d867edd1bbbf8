"""The program on top of hftcore: configuration, command line, simulators, dashboard."""
