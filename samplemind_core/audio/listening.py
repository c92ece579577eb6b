"""A process that listens to files for another one: ``python -m samplemind_core.audio.listening``.

It reads a function and items from its standard input, writes the results to its standard output,
and ends when its input does, so that nothing is left of it when whoever started it is gone.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import Any, BinaryIO


def main() -> None:
    """Work until there is nobody to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this is told, and closes the pipe
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up among the replies
    import torch

    import samplemind_core.audio.decode
    import samplemind_core.audio.features  # noqa: F401 - what most work needs, before the first file waits

    torch.set_num_threads(1)
    try:
        _reply(replies, True, None)
        while True:
            work = pickle.load(sys.stdin.buffer)  # noqa: S301 - of whoever started this
            try:
                function, items = pickle.loads(work)  # noqa: S301
                results = function(items)
            except Exception as error:
                _reply(replies, False, error)  # raised again where the work was asked for
            else:
                _reply(replies, True, results)
    except (EOFError, BrokenPipeError):
        # Nobody is left to read, so that closing the pipe would only complain.
        os._exit(0)


def _reply(replies: BinaryIO, done: bool, value: Any) -> None:
    try:
        message = pickle.dumps((done, value), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # an exception, or a result, that cannot travel
        message = pickle.dumps((False, RuntimeError(f"{value!r}: {error}")))
    pickle.dump(message, replies, protocol=pickle.HIGHEST_PROTOCOL)
    replies.flush()


if __name__ == "__main__":
    main()
