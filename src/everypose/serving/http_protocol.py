"""HTTP/1.1 with time limits that the server's own protocol lacks."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def protocol_with_timeouts(header_timeout: float, reading_timeout: float) -> type[H11Protocol]:
    """A protocol class that closes the connections of clients that send or read too slowly.

    Args:
        header_timeout: seconds within which a request's header must arrive, counted from the connection or from the
            header's first byte.
        reading_timeout: seconds that a client gets to read an answer after the connection has been closed on this side.
    """

    class Protocol(H11Protocol):
        """One connection."""

        _header_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch_header()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch_header()

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._stop_watching()
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_watching()
            super().connection_lost(exc)

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self.loop.call_later(reading_timeout, self.transport.abort)

        def _watch_header(self) -> None:
            """Run the timer while a header is being awaited that has begun, or that is the connection's first."""
            is_upgraded = self not in self.connections
            awaiting = not is_upgraded and (self.cycle is None or self.cycle.response_complete)
            if not awaiting:
                self._stop_watching()
            elif self._header_timer is None:
                self._header_timer = self.loop.call_later(header_timeout, self.transport.abort)

        def _stop_watching(self) -> None:
            if self._header_timer is not None:
                self._header_timer.cancel()
                self._header_timer = None

    return Protocol
