import asyncio
import threading

import pytest

from allennlp_layer_saliency.server.queue import Abandoned, Full, WorkQueue


async def here():
    return False


def test_in_order_and_refused_beyond_the_limit():
    async def main():
        queue, done = WorkQueue(8), []
        asked = [queue.run(lambda n=n: done.append(n) or n, here) for n in range(20)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert results[:8] == done == list(range(8))
        assert all(isinstance(result, Full) for result in results[8:])
        # Room again.
        assert await queue.run(lambda: "next", here) == "next"
        queue.close()

    asyncio.run(main())


def test_what_nobody_waits_for_is_not_begun():
    async def main():
        queue, may_end, done = WorkQueue(3), threading.Event(), []
        first = asyncio.ensure_future(queue.run(may_end.wait, here))

        async def gone():
            return True

        try:
            await asyncio.sleep(0.05)  # the first has begun
            with pytest.raises(Abandoned):
                await queue.run(lambda: done.append("abandoned"), gone)
            last = asyncio.ensure_future(queue.run(lambda: done.append("waited for"), here))
            await asyncio.sleep(0)
        finally:
            may_end.set()
        await asyncio.gather(first, last)
        assert done == ["waited for"]
        queue.close()

    asyncio.run(main())


def test_an_error_is_the_asker_s():
    async def main():
        queue = WorkQueue(1)

        def fails():
            raise ValueError("no")

        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                await queue.run(fails, here)
        queue.close()

    asyncio.run(main())
