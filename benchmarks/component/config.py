"""The file that tells a C program of a venue (common/config.h)."""

from __future__ import annotations

from benchmarks import setting
from hftcore.venues import Template
from hftcore.venues.binance import BINANCE

ORDER = setting.ORDER
# What fills the placeholders of Binance's templates that an engine fills once.
KNOWN = dict(
    BINANCE.constants,
    api_key=setting.CREDENTIALS.api_key,
    symbol=ORDER.symbol,
    side=ORDER.side,
    type=ORDER.type,
    price=str(ORDER.price),
    time_in_force=ORDER.time_in_force,
)


def texts(name: str, template: Template) -> dict[str, object]:
    """The template as the engine compiles it: constants in place, slots left."""
    bound = template.bind(**{known: KNOWN[known] for known in template.placeholders & KNOWN.keys()})
    return {f"{name}.message": bound.message, f"{name}.signed": bound.signed}


def lines(values: dict[str, object]) -> str:
    """The file's text."""
    return "".join(f"{name}\t{value}\n" for name, value in values.items())
