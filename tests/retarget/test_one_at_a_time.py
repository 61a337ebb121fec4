import threading
import time
from concurrent.futures import ThreadPoolExecutor

from musclemap.retarget.one_at_a_time import one_at_a_time


def test_threads_take_turns() -> None:
    """Two different functions never run at the same time, and one may call another."""
    running: list[int] = []
    most = []
    lock = threading.Lock()

    def work(k: int) -> int:
        with lock:
            running.append(k)
            most.append(len(running))
        time.sleep(0.002)
        with lock:
            running.remove(k)
        return k

    first = one_at_a_time(work)
    second = one_at_a_time(lambda k: -first(k))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda k: second(k) if k % 2 else first(k), range(20)))
    assert results == [-k if k % 2 else k for k in range(20)]
    assert max(most) == 1
