"""The process that trains: ``python -m samplemind_core.training.worker [--serve]``.

It takes queued runs one after the other and ends when there are none left; with ``--serve`` it
waits for more, for machines where the dashboard does not start workers by itself.
"""

from __future__ import annotations

import signal
import sys
import time

from samplemind_core.errors import JobError, SampleMindError, StoreError
from samplemind_core.settings import Settings
from samplemind_core.store import Store
from samplemind_core.training import jobs
from samplemind_core.workers import asked_to_serve

POLL_S = 1.0


def main(arguments: list[str]) -> int:
    """Work through the queue; return the process's exit code."""
    serve = asked_to_serve(arguments, jobs.TRAINERS.module, "Trains the queued runs of a workspace.")
    # The dashboard's terminal must not end a run; Stop and SIGTERM do.
    signal.signal(signal.SIGINT, signal.SIG_DFL if serve else signal.SIG_IGN)
    try:
        settings = Settings.from_environment()
        store = Store(settings.url)
    except SampleMindError as error:
        print(error, file=sys.stderr)
        return 1
    while True:
        try:
            with jobs.as_worker(settings):
                work(store, settings, serve=serve)
        except JobError as error:
            print(error, file=sys.stderr)
            return 1 if serve else 0
        except StoreError as error:
            print(error, file=sys.stderr)
            return 1
        # A run queued while the lock was being given back would find nobody: look once more.
        if not serve and not store.runs.all(statuses=("queued",)):
            return 0


def work(store: Store, settings: Settings, *, serve: bool) -> None:
    """Train queued runs until there are none, or for ever."""
    worker = jobs.identity()
    while True:
        try:
            run = store.runs.claim(worker)
        except StoreError as error:
            print(error, file=sys.stderr)
            time.sleep(POLL_S)
            continue
        if run is not None:
            jobs.execute(store, settings, run, worker)
        elif serve:
            time.sleep(POLL_S)
        else:
            return


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
