from typing import Any, Self, final

from hftcore.events import STAGES as STAGES
from hftcore.watch import WatchTable

ERROR_CLASSES: tuple[str, ...]
LINK_STATES: tuple[str, ...]
ORDER_STATES: tuple[str, ...]

@final
class EventReader:
    def __new__(cls, peers: list[Any], venues: list[Any], rules: list[Any], watch: WatchTable) -> Self: ...
