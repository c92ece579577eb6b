"""The process that does tasks: ``python -m samplemind_core.tasks.worker [--serve]``.

It takes queued tasks one after the other and ends when there are none left; with ``--serve`` it
waits for more, for machines where the dashboard does not start workers by itself.
"""

from __future__ import annotations

import signal
import sys
import time

from samplemind_core.errors import JobError, SampleMindError, StoreError
from samplemind_core.tasks import jobs
from samplemind_core.workers import asked_to_serve, identity
from samplemind_core.workspace import Workspace

POLL_S = 1.0


def main(arguments: list[str]) -> int:
    """Work through the queue; return the process's exit code."""
    serve = asked_to_serve(arguments, jobs.TASK_WORKERS.module, "Does the queued imports, analyses and batches.")
    # The dashboard's terminal must not end a task; Stop and SIGTERM do.
    signal.signal(signal.SIGINT, signal.SIG_DFL if serve else signal.SIG_IGN)
    try:
        workspace = Workspace()
    except SampleMindError as error:
        print(error, file=sys.stderr)
        return 1
    while True:
        try:
            with jobs.TASK_WORKERS.hold(workspace.settings):
                work(workspace, serve=serve)
        except JobError as error:
            print(error, file=sys.stderr)
            return 1 if serve else 0
        except StoreError as error:
            print(error, file=sys.stderr)
            return 1
        # A task queued while the lock was being given back would find nobody: look once more.
        if not serve and not workspace.store.tasks.all(statuses=("queued",)):
            return 0


def work(workspace: Workspace, *, serve: bool = False) -> None:
    """Do queued tasks until there are none, or for ever."""
    worker = identity()
    while True:
        try:
            task = workspace.store.tasks.claim(worker)
        except StoreError as error:
            print(error, file=sys.stderr)
            time.sleep(POLL_S)
            continue
        if task is not None:
            jobs.execute(workspace, task)
        elif serve:
            time.sleep(POLL_S)
        else:
            return


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
