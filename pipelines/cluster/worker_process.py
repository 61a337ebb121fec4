"""A worker process of this machine: python -m musclemap.pipelines.cluster.worker_process SCHEDULER NAME CORES PARENT.

The keys of the run arrive on standard input: command lines and files can be read by others, a pipe cannot, and what is
in the environment would go on to every program that a worker starts.
"""

import asyncio
import os
import signal
import sys
import threading
import time

PARENT_SECONDS = 0.5
"""Time between two looks of a worker whether the program is still there [s]."""


def main() -> None:
    """Take the cores, then the keys, then jobs, until the scheduler or the program ends."""
    scheduler, name, cores, parent = sys.argv[1:]
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    packed = sys.stdin.buffer.read()
    from .private_dask import unpack_keys, work  # after the cores are taken: its threads inherit them

    async def until_told() -> None:
        message = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, message.set)
        working = asyncio.create_task(work(scheduler, name=name, security=unpack_keys(packed)))
        await asyncio.wait([working, asyncio.create_task(message.wait())], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()

    asyncio.run(until_told())


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
