"""Worker process on this machine: python -m musclemap.pipelines.cluster.worker_process SCHEDULER NAME CORES PARENT.

The keys of the run arrive on standard input. Other users can read command lines and files but not a pipe, and
environment variables would be inherited by every program that a worker starts.
"""

import asyncio
import os
import signal
import sys
import threading
import time

from musclemap.cores import pin_to_cores

PARENT_SECONDS = 0.5
"""Time between two checks whether the main process still runs [s]."""


def main() -> None:
    """Pin to the cores, read the keys, then run jobs until the scheduler or the main process ends."""
    scheduler, name, cores, parent = sys.argv[1:]
    threading.Thread(target=_exit_with, args=(int(parent),), daemon=True).start()
    pin_to_cores([int(core) for core in cores.split(",")])
    encoded_keys = sys.stdin.buffer.read()
    from .private_dask import decode_keys, run_worker  # after pinning: its threads inherit the cores

    async def run_until_terminated() -> None:
        terminated = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
        worker = asyncio.create_task(run_worker(scheduler, name=name, security=decode_keys(encoded_keys)))
        await asyncio.wait([worker, asyncio.create_task(terminated.wait())], return_when=asyncio.FIRST_COMPLETED)
        if worker.done():
            worker.result()

    asyncio.run(run_until_terminated())


def _exit_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
