"""All providers of a chaos run in one process: the fake provider, which obeys the order that stands
in each request's prompt (faults.py). Prints "listening http=ADDRESS"; ends on SIGTERM."""

import asyncio
import pathlib
import signal
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "support" / "fake_provider")]

import attempts  # noqa: E402
import behaviour  # noqa: E402
import serve  # noqa: E402

from chaos import faults  # noqa: E402

KEPT_ATTEMPTS = 100


class Obedient:
    """For serve.Provider: what to do with a request."""

    def next(self, call, *_):
        return behaviour.parse_behaviour(faults.behaviour_for(call))


class FewAttempts(attempts.Attempts):
    """Of a run of hours nobody reads them all."""

    def begin(self, *args):
        del self._kept[:-KEPT_ATTEMPTS]
        return super().begin(*args)


async def main():
    provider = serve.Provider(Obedient(), FewAttempts())
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, backlog=1024)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print("listening http=%s:%d" % server.sockets[0].getsockname()[:2], flush=True)
    await stopped.wait()


asyncio.run(main())
