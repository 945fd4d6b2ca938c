import threading
import time

import pytest

from cluster.data.ahead import Ahead

THREADS = [1, 2, 5]


def running():
    return {thread for thread in threading.enumerate() if thread.name.startswith("ahead-")}


@pytest.mark.parametrize("threads", THREADS)
def test_results_come_in_the_order_of_the_work(threads):
    def slow_if_even(number):
        time.sleep(0.002 * (number % 2 == 0))
        return number * number

    with Ahead(iter(range(50)), slow_if_even, threads, 7) as results:
        assert list(results) == [number * number for number in range(50)]
    assert not running()


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_comes_after_all_results_before_it_and_stays(threads):
    def fails_at_11(number):
        if number == 11:
            raise ValueError("eleven")
        return number

    seen = []
    with Ahead(iter(range(50)), fails_at_11, threads, 7) as results:
        for _ in range(2):
            with pytest.raises(ValueError, match="eleven"):
                seen.extend(iter(results))
    assert seen == list(range(11))


@pytest.mark.parametrize("threads", THREADS)
def test_an_error_of_the_work_itself_comes_in_its_place(threads):
    def work():
        yield from range(9)
        raise ValueError("no more plans")

    seen = []
    with Ahead(work(), str, threads, 4) as results, pytest.raises(ValueError, match="no more plans"):
        seen.extend(iter(results))
    assert seen == [str(number) for number in range(9)]


@pytest.mark.parametrize("threads", THREADS)
def test_no_more_is_made_than_asked_for(threads):
    made = []
    with Ahead(iter(range(1000)), made.append, threads, 6) as results:
        taken = iter(results)
        for _ in range(10):
            next(taken)
        for _ in range(100):
            if len(made) == 16:
                break
            time.sleep(0.01)
        time.sleep(0.05)  # long enough for one too many
        assert len(made) == 16


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("taken", [0, 3])
def test_leaving_ends_the_threads_in_the_middle(threads, taken):
    with Ahead(iter(range(10**9)), lambda number: number, threads, 6) as results:
        numbers = iter(results)
        assert [next(numbers) for _ in range(taken)] == list(range(taken))
    assert not running()
    assert len(list(numbers)) <= 6  # what was made before is all there is


def test_leaving_waits_for_what_is_being_made():
    began, may_end, ended = threading.Event(), threading.Event(), []

    def make(number):
        began.set()
        may_end.wait(30)
        ended.append(number)

    with Ahead(iter(range(100)), make, 1, 6):
        assert began.wait(30)
        threading.Timer(0.05, may_end.set).start()
    assert ended == [0]


def test_no_work_gives_no_results():
    with Ahead(iter([]), str, 2, 2) as results:
        assert list(results) == []
        assert list(results) == []


def test_threads_run_inside_the_context_only():
    with pytest.raises(RuntimeError, match="enter the context"):
        list(Ahead(iter([1]), str, 2, 2))
