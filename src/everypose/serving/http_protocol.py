"""HTTP/1.1 with time limits that the server's own protocol lacks, and early refusals that reach the client."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

LINGER_SECONDS = 2.0
"""Seconds for which the rest of a refused body is discarded before the connection is closed."""


class _LingeringTransport:
    """A transport that does not reset the connection of a client that is still sending.

    Closing a connection with unread data also discards an answer that has not arrived: the client would see a reset
    instead of the reason why its request was refused. Closing only the sending side first lets the answer arrive.

    Args:
        transport: the connection's own transport.
        protocol: its protocol.
    """

    def __init__(self, transport: asyncio.Transport, protocol: H11Protocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self.lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close the connection, at once or after the client has read the answer."""
        unread = self._protocol.conn.their_state is h11.SEND_BODY and self._protocol.cycle is not None
        if not unread or self.lingers or not self._transport.can_write_eof():
            self._transport.close()
            return
        self.lingers = True
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)

    def is_closing(self) -> bool:
        """Whether the connection is closed or being closed for sending."""
        return self.lingers or self._transport.is_closing()


def protocol_with_timeouts(header_timeout: float, reading_timeout: float) -> type[H11Protocol]:
    """Create a protocol class that closes the connections of clients that send or read too slowly.

    >>> issubclass(protocol_with_timeouts(header_timeout=10, reading_timeout=60), H11Protocol)
    True

    Args:
        header_timeout: seconds within which a request's header must arrive, counted from the connection or from the
            header's first byte.
        reading_timeout: seconds that a client gets to read an answer after the connection has been closed on this side.
    """

    class Protocol(H11Protocol):
        """One connection."""

        _header_timer: asyncio.TimerHandle | None = None
        _raw: asyncio.Transport
        _lingering: _LingeringTransport

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self._raw = transport
            self._lingering = _LingeringTransport(transport, self)
            super().connection_made(self._lingering)  # type: ignore[arg-type]
            self._watch_header()

        def data_received(self, data: bytes) -> None:
            if self._lingering.lingers:
                return
            super().data_received(data)
            self._watch_header()

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._stop_watching()
            self.transport = self._raw
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_watching()
            super().connection_lost(exc)

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self.loop.call_later(reading_timeout, self._raw.abort)

        def _watch_header(self) -> None:
            """Run the timer while a header is being awaited that has begun, or that is the connection's first."""
            is_upgraded = self not in self.connections
            awaiting = not is_upgraded and (self.cycle is None or self.cycle.response_complete)
            if not awaiting:
                self._stop_watching()
            elif self._header_timer is None:
                self._header_timer = self.loop.call_later(header_timeout, self._raw.abort)

        def _stop_watching(self) -> None:
            if self._header_timer is not None:
                self._header_timer.cancel()
                self._header_timer = None

    return Protocol
