from hftcore._events import ERROR_CLASSES as ERROR_CLASSES
from hftcore._events import ORDER_STATES as ORDER_STATES

MS: int
REPLY_FIELDS: tuple[str, ...]
__pyx_capi__: dict[str, object]
