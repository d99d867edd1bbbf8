"""hftcore: Bitcoin's network in, signed orders out, in microseconds."""

import liburing as _liburing  # noqa: F401  loads the C library that hftcore's reactor links against
