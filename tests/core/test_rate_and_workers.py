"""The rate loop keeps its grid, workers keep their order."""

import threading

import pytest

from frs_core.runtime.rate import RateLoop
from frs_core.runtime.workers import InlineWorker, ThreadWorker, WorkerBusy
from tests.waiting import LONG_S


class Clock:
    """Time that passes only when slept or moved on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_ticks_stay_on_a_grid_whatever_the_work_takes() -> None:
    clock = Clock()
    rate = RateLoop(10.0, clock=clock, sleep=clock.sleep)
    starts = []
    for work in (0.01, 0.09, 0.05, 0.0):
        rate.wait()
        starts.append(clock.now)
        clock.now += work
    assert starts == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert rate.hz == pytest.approx(10.0)


def test_after_a_long_stall_there_is_no_burst() -> None:
    clock = Clock()
    rate = RateLoop(10.0, clock=clock, sleep=clock.sleep)
    rate.wait()
    clock.now += 0.45
    assert rate.wait() == pytest.approx(0.35)
    rate.wait()
    assert clock.now == pytest.approx(0.55)
    assert rate.jitter_ms(100) == pytest.approx(350.0)


def test_a_worker_answers_in_order_with_values_and_errors() -> None:
    done = threading.Event()
    answers = []
    worker = ThreadWorker("test", on_answer=lambda: done.set() if len(answers) == 0 else None)
    worker.submit(1, lambda: "a")
    worker.submit(2, lambda: 1 // 0)
    last = threading.Event()
    worker.submit(3, last.set)
    assert last.wait(LONG_S)
    while len(answers) < 3:
        answers += worker.poll()
    assert [(a.ticket, a.value) for a in answers[:2]] == [(1, "a"), (2, None)]
    assert isinstance(answers[1].error, ZeroDivisionError)
    assert worker.close(30.0)


def test_a_hung_worker_is_reported_not_waited_for() -> None:
    go = threading.Event()
    worker = ThreadWorker("inference", capacity=1)
    started = threading.Event()
    worker.submit(1, lambda: (started.set(), go.wait(LONG_S)))
    assert started.wait(LONG_S)
    worker.submit(2, lambda: None)
    with pytest.raises(WorkerBusy, match="'inference' worker has 1 jobs waiting"):
        worker.submit(3, lambda: None)
    assert not worker.close(0.05)
    go.set()
    assert worker.close(30.0)


def test_the_inline_worker_has_answered_when_submit_returns() -> None:
    worker = InlineWorker()
    worker.submit(5, lambda: 7)
    assert [(a.ticket, a.value) for a in worker.poll()] == [(5, 7)]
    assert worker.poll() == []


def test_a_worker_may_finish_what_waits_before_it_ends() -> None:
    done: list[int] = []
    started, go = threading.Event(), threading.Event()
    for finishes, expected in ((False, [0]), (True, [0, 1, 2])):
        done.clear()
        started.clear()
        go.clear()
        worker = ThreadWorker("writer")
        worker.submit(0, lambda: (started.set(), go.wait(LONG_S), done.append(0)))
        assert started.wait(LONG_S)
        for ticket in (1, 2):
            worker.submit(ticket, lambda t=ticket: done.append(t))
        threading.Timer(0.2, go.set).start()
        assert worker.close(30.0, finishes=finishes)
        assert done == expected
