"""Requests and their answers on a connection: uvicorn's protocol, with less to do for each."""

from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from squero.api import head
from squero.api.head import Header


class Exchanges(HttpToolsProtocol):
    """Answers in one piece where it can."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._running: RequestResponseCycle | None = None

    def answer(self, status: int, headers: Sequence[Header], body: bytes) -> bool:
        """Writes all of the running request's answer at once; False: send it as ASGI has it.

        That is where it is not that simple: the connection ends with it, the client has left, does
        not read, waits for a 100 or asks for the head alone. Raises ValueError for a header of more
        than one line.
        """
        cycle = self._running
        if (
            cycle is None
            or not cycle.keep_alive
            or cycle.disconnected
            or cycle.response_started
            or cycle.waiting_for_100_continue
            or cycle.scope["method"] == "HEAD"
            or self.flow.write_paused
        ):
            return False
        every = [*self.server_state.default_headers, *headers]
        self.transport.write(head.whole(STATUS_LINE[status], every, body))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True

    def extend(self, pieces: Sequence[memoryview]) -> bool:
        """Writes these pieces of the running answer's body at once; False: send them by ASGI.

        That is before the answer has begun, where its length was not told, for the head alone, and
        when the client has left. Raises RuntimeError, as uvicorn does, for more than was told.
        """
        cycle = self._running
        if (
            cycle is None
            or not cycle.expected_content_length
            or cycle.disconnected
            or cycle.scope["method"] == "HEAD"
        ):
            return False
        length = sum(map(len, pieces))
        if length > cycle.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        cycle.expected_content_length -= length
        self.transport.writelines(pieces)
        return True

    @property
    def left(self) -> bool:
        """Whether the client of the running answer has left: nobody gets what is sent of it now."""
        return self._running is not None and self._running.disconnected

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended: whoever answers on it is told."""
        if self._running is not None:
            # uvicorn tells the last request of a pipeline, which may wait for this one's answer.
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def answer_next(self) -> bool:
        """Start the request that waits for the last one's answer; whether there is one."""
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return True
        return False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)
