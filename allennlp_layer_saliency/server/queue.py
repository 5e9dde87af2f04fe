"""Work for one model, in the order of the requests."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Awaitable, Callable, TypeVar

T = TypeVar("T")


class Full(Exception):
    """As many requests wait as may."""


class Abandoned(Exception):
    """Whoever asked is gone."""


class WorkQueue:
    """
    Runs one piece of work after the other, on a thread of its own: a model is not for several at once.

    # Parameters

    limit : `int`
        How many may wait or run; one more is refused.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting = 0
        self._executor = ThreadPoolExecutor(1)

    async def run(self, work: Callable[[], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """
        # Parameters

        work : `Callable[[], T]`
        gone : `Callable[[], Awaitable[bool]]`
            Whether nobody waits for it any more; then it is not begun.

        # Raises

        `Full`
        `Abandoned`
        `Exception`
            What the work raises.
        """
        if self._waiting >= self._limit:
            raise Full
        self._waiting += 1
        try:
            future = self._executor.submit(work)
            waiter: asyncio.Future[T] = asyncio.wrap_future(future)
            while not waiter.done():
                await asyncio.wait([waiter], timeout=0.1)
                # What has begun can't be stopped; it goes on to count.
                if not waiter.done() and await gone() and future.cancel():
                    raise Abandoned
            return waiter.result()
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Drop what is not begun."""
        self._executor.shutdown(wait=False)
