"""Exchanges as data: one file each."""
