"""Tests of hftcore; a package so that they can share the helpers in this directory."""
