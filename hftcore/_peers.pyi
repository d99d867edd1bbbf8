__pyx_capi__: dict[str, object]
ROLES: tuple[str, ...]
STATES: tuple[str, ...]
