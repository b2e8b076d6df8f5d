"""A wall clock for processes that tests set while they run, by libfaketime.

What makes it do for servers on gRPC: the monotonic clock stays the kernel's
(FAKETIME_DONT_FAKE_MONOTONIC), as it does when somebody sets a machine's clock, or waits would end
too early or never; the library is the one for threads (libfaketimeMT); and it looks into the file
whenever it is asked (FAKETIME_NO_CACHE), so that a step is there at once and not seconds later.
"""

import glob
import pathlib


class WallClock:
    def __init__(self, directory, name="wall-clock"):
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        assert found, "libfaketime is not installed"
        self._path = pathlib.Path(directory) / name
        self.step(0)
        self.env = {
            "LD_PRELOAD": found[0],
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
        }

    def step(self, seconds):
        """From now on it is wrong by so much."""
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._path)
