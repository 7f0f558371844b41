"""What is asked of a session, from any thread: each command stamped with the hold epoch it was asked for in, and when.

A hold is not queued behind other commands: the world is held before the command is queued, and whatever was asked for before it and would lead to
motion is stale from then on, however late it is read. An act that waits too long goes stale by itself.

Example: a pick is put in epoch 4 and waits; a hold raises the epoch to 5 and is put behind it; when the session reads the pick it
belongs to 4 and is refused.
"""

import contextlib
import queue
import threading
import time

from frs_core import events as ev
from frs_core.events import HoldReason, Phase, SessionCommand
from frs_core.session.engine import SessionEngine
from frs_core.worlds.link import WorldLink

SIZE = 256
"""Commands that may wait; a view sends a few per second and a heartbeat."""


class Inbox:
    """Commands on their way to the engine. `put` and `wake` from any thread, `take` on the engine's."""

    def __init__(self, link: WorldLink) -> None:
        """Start empty.

        Args:
            link: to the world that a hold stops.
        """
        self._link = link
        self._commands: queue.Queue[tuple[SessionCommand, int, int, int] | None] = queue.Queue(SIZE)
        """What is asked, the hold epoch it was asked for in, when it was pressed and when it was put in here; None only wakes."""
        self._began_ns: int | None = None
        """When the session began to read: until then nothing waits for longer than it should."""
        self._has_dropped = threading.Event()
        """A command found the queue full; the robot must not continue as if it had not been given."""

    def put(self, command: SessionCommand) -> bool:
        """Queue a command; never waits.

        Returns:
            False when the queue is full: the command is lost and the world is held; once the session answers again it
            holds too, and says so.
        """
        epoch = self._link.hold() if isinstance(command, ev.RequestHold) else self._link.epoch
        put_ns = time.monotonic_ns()
        pressed_ns = command.pressed_ns if isinstance(command, ev.Act) else None
        try:
            # Nothing was pressed after it was sent; a time that is none is not younger either.
            at_ns = pressed_ns if pressed_ns is not None and pressed_ns <= put_ns else put_ns
            self._commands.put_nowait((command, epoch, at_ns, put_ns))
        except queue.Full:
            self._link.hold()
            self._has_dropped.set()
            return False
        return True

    def wake(self) -> None:
        """End the present wait in `take`."""
        with contextlib.suppress(queue.Full):
            self._commands.put_nowait(None)

    def take(self, engine: SessionEngine, pause_s: float) -> bool:
        """Hand all waiting commands to the engine, after a pause at most if there are none; tell whether a view should know."""
        has_news = False
        if self._began_ns is None:
            self._began_ns = time.monotonic_ns()
        try:
            item = self._commands.get(timeout=pause_s)
            while True:
                if item is not None:
                    command, epoch, pressed_ns, put_ns = item
                    engine.handle(command, epoch, pressed_ns=pressed_ns + max(0, self._began_ns - put_ns))
                    has_news |= not isinstance(command, ev.Heartbeat)
                item = self._commands.get_nowait()
        except queue.Empty:
            pass
        if self._has_dropped.is_set():
            self._has_dropped.clear()
            has_news = True
            if engine.phase is not Phase.FAULT:
                engine.hold(HoldReason.SESSION_SILENT, "It was stuck, and requests to it were lost.")
        return has_news
