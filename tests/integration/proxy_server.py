"""A proxy that we did not write, pproxy."""

from __future__ import annotations

import asyncio
import threading

import pproxy

WAIT_S = 20.0


class ProxyServer:
    """pproxy, HTTP and SOCKS5 on one port, on a thread of its own."""

    def __init__(self, user: str = "") -> None:
        self.asked: list[str] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(user),), daemon=True)
        self._thread.start()
        assert self._ready.wait(WAIT_S)

    async def _run(self, user: str) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = pproxy.Server("http+socks5://127.0.0.1:0" + (f"#{user}" if user else ""))
        listener = await server.start_server({"rserver": [pproxy.DIRECT], "verbose": self.asked.append})
        self.port = listener.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        listener.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(WAIT_S)
