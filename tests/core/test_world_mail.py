"""Messages to and from a world's process never wait for a world that is stuck."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np
import pytest

from frs_core.worlds.link import Lost, Ready, WorldFact
from frs_core.worlds.mail import Mail
from frs_core.worlds.process import WorldProcess
from tests.waiting import LONG_S

BIG = np.random.default_rng(0).bytes(3_000_000)
"""Far more than a pipe takes."""


@pytest.fixture
def ends() -> Iterator[tuple[Mail, Connection]]:
    ours, theirs = Pipe()
    mail = Mail(ours)
    yield mail, theirs
    mail.close()
    theirs.close()


def test_what_does_not_go_at_once_is_kept_and_arrives_in_order(ends: tuple[Mail, Connection]) -> None:
    mail, theirs = ends
    mail.put(b"first")
    mail.put(BIG)
    mail.put(b"last")
    assert mail.kept_s > 0
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(theirs.recv_bytes() for _ in range(3)))
    reader.start()
    until = time.monotonic() + LONG_S
    while reader.is_alive() and time.monotonic() < until:
        mail.flush()
        reader.join(0.01)
    assert got == [b"first", BIG, b"last"]
    assert mail.kept_s == 0


def test_only_whole_messages_are_taken(ends: tuple[Mail, Connection]) -> None:
    mail, theirs = ends
    assert mail.take() == []
    sender = threading.Thread(target=theirs.send_bytes, args=(BIG,))
    theirs.send_bytes(b"first")
    theirs.send_bytes(b"")
    sender.start()
    got: list[bytes] = []
    until = time.monotonic() + LONG_S
    while len(got) < 3 and time.monotonic() < until:
        got += mail.take()
    sender.join()
    assert got == [b"first", b"", BIG]


def test_the_last_words_of_an_end_that_is_gone_are_read(ends: tuple[Mail, Connection]) -> None:
    mail, theirs = ends
    theirs.send_bytes(b"why")
    theirs.close()
    with pytest.raises(BrokenPipeError):
        mail.put(b"are you there")
    assert mail.take() == [b"why"]
    with pytest.raises((EOFError, OSError)):
        mail.take()


def _facts(link: WorldProcess, kind: type[WorldFact]) -> WorldFact:
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        for fact in link.poll():
            if isinstance(fact, kind):
                return fact
        time.sleep(0.01)
    raise AssertionError(f"no {kind.__name__}")


def test_a_world_that_reads_nothing_is_lost_and_keeps_nobody_waiting() -> None:
    link = WorldProcess("tests.fakes.world:PointWorld", silence_s=1.0)
    link.start()
    try:
        _facts(link, Ready)
        assert link.pid is not None
        os.kill(link.pid, signal.SIGSTOP)
        # Each of these would wait for ever in a pipe that is full.
        for ticket in range(3):
            link.restore(ticket, BIG, epoch=link.epoch)
        lost = _facts(link, Lost)
        assert isinstance(lost, Lost)
        assert "did not read what it was asked for" in lost.sentence
        link.restart()
        _facts(link, Ready)
    finally:
        link.close()
