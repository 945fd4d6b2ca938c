"""The ranks that tests share: what one call leaves behind is not the next one's."""

import os


def leave_behind(name):
    os.environ[name] = "left"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def found(name):
    return [os.environ.get(name), sorted(os.sched_getaffinity(0))]


def test_each_call_finds_the_environment_and_the_cores_that_the_pool_began_with(pool):
    before = pool.run(1, found, name="GLOO_SOCKET_IFNAME")
    pool.run(1, leave_behind, name="GLOO_SOCKET_IFNAME")
    assert pool.run(1, found, name="GLOO_SOCKET_IFNAME") == before
