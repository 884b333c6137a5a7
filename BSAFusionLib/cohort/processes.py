"""Run cases in processes of this machine, one process a case, where Dask is not installed."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any

Calls = Mapping[str, tuple[Any, ...]]


def run_in_processes(function: Callable[..., Any], calls: Calls, count: int) -> Iterator[tuple[str, Any]]:
    """Call a function once for each name, each call in a process of its own.

    Args:
        function: A function of a module, which the processes import.
        calls: Arguments by name.
        count: Processes at a time.

    Yields:
        Names and outcomes as they come: what the function returned, or the exception that it raised, or a RuntimeError
        where its process died.
    """
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    waiting = list(calls.items())
    running: dict[Any, tuple[str, Any]] = {}  # by the end of the pipe that the outcome comes through
    try:
        while waiting or running:
            while waiting and len(running) < count:
                name, arguments = waiting.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_call, args=(sender, function, arguments), daemon=True)
                process.start()
                sender.close()  # so that the receiver sees the end of a process that dies
                running[receiver] = name, process
            for ready in wait(list(running)):
                name, ended = running.pop(ready)
                yield name, _outcome(ready, ended)
    finally:
        for _, unfinished in running.values():
            unfinished.kill()


def _outcome(receiver: Any, process: Any) -> Any:
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return RuntimeError(f"it ended with exit code {process.exitcode}")
    finally:
        receiver.close()
        process.join()


def _call(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        outcome: Any = function(*arguments)
    except Exception as error:  # it is the outcome, as of a call on a cluster
        outcome = error
    sender.send(outcome)
