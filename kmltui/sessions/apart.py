# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs calls that may block for longer than anybody is willing to wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar, cast

T = TypeVar("T")
P = ParamSpec("P")


async def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``function(…)`` in a thread of its own that nobody has to wait for: no cancelled caller, nor the program's end.

    ``asyncio.to_thread`` is for calls that return: the end of the event loop waits for its threads.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():  # cancelled
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(T, result))

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=getattr(function, "__name__", "apart"), daemon=True).start()
    return await done
