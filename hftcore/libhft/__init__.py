"""The C core's declarations for Cython: `from hftcore.libhft.sha256 cimport ...`. Nothing to import at run time."""
