"""Messages between a session and its world's process, sent and received without blocking.

Problem: a pipe that nobody reads fills up, and `Connection.send_bytes` then blocks for as long as the world is stuck; so does
`recv_bytes` for the rest of a message whose sender was stopped in the middle of it. Idea: bytes that cannot be sent at once are
buffered and sent by the next call; how long none of them could be sent shows that the world is stuck.

Example: put(3 MB) on a socket that takes 0.2 MB at once buffers 2.8 MB; each `flush` sends what fits; `kept_s` grows while nothing
fits. One thread.
"""

import os
import socket
import struct
import time
from multiprocessing.connection import Connection

_HEADER = struct.Struct("!i")
"""Length before each message. Source: multiprocessing/connection.py, `Connection._send_bytes`; the world's end is such a connection."""
_CHUNK = 1 << 16
_MOST_READS = 1024
"""Reads per call, so that an endless sender does not keep the session from its other work. Guess; 64 MB."""


class Mail:
    """This side's end of a pipe."""

    def __init__(self, pipe: Connection) -> None:
        """Use one end of `multiprocessing.Pipe()`, which `close` closes."""
        self._pipe = pipe
        self._socket = socket.socket(fileno=os.dup(pipe.fileno()))
        self._out, self._in = bytearray(), bytearray()
        self._kept_since: float | None = None

    def put(self, message: bytes) -> None:
        """Send a message, and buffer what cannot be sent at once; raises OSError if the other end is closed."""
        self._out += _HEADER.pack(len(message)) + message
        self.flush()

    def flush(self) -> None:
        """Send as much of the buffer as possible; raises OSError if the other end is closed."""
        while self._out:
            try:
                sent = self._socket.send(bytes(self._out[:_CHUNK]), socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._kept_since = time.monotonic() if self._kept_since is None else self._kept_since
                return
            except OSError:
                self._out.clear()
                self._kept_since = None
                raise
            del self._out[:sent]
            # The other side reads, however slowly.
            self._kept_since = None

    @property
    def kept_s(self) -> float:
        """How long none of the buffered bytes could be sent, seconds; 0 if all were sent."""
        return 0.0 if self._kept_since is None else time.monotonic() - self._kept_since

    def take(self) -> list[bytes]:
        """Return the complete messages that have arrived; raises EOFError or OSError if the other end is closed and none are left."""
        error: Exception | None = None
        try:
            for _ in range(_MOST_READS):
                part = self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
                if not part:
                    error = EOFError("The other end was closed.")
                    break
                self._in += part
        except BlockingIOError:
            pass
        except OSError as found:
            error = found
        messages = self._whole()
        if error is not None and not messages:
            raise error
        return messages

    def close(self) -> None:
        """Close the pipe; buffered bytes are dropped."""
        self._socket.close()
        self._pipe.close()

    def _whole(self) -> list[bytes]:
        messages, at = [], 0
        while len(self._in) - at >= _HEADER.size:
            (size,) = _HEADER.unpack_from(self._in, at)
            if size < 0:
                raise OSError("The other end sent a length that is none.")
            if len(self._in) - at - _HEADER.size < size:
                break
            at += _HEADER.size
            messages.append(bytes(self._in[at : at + size]))
            at += size
        del self._in[:at]
        return messages
