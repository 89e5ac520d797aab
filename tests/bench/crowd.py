"""Many processes that call an agent at one moment, each from a cgroup of its own."""

import os
import select
import struct
import time

from process import enter
from svid_stream import Stream


class Crowd:
    """Processes that each wait in a container's cgroup, and call together."""

    def __init__(self, bench, socket, cgroups):
        self.go_read, self.go = os.pipe()
        self.ends = []
        for cgroup in cgroups:
            end, theirs = os.pipe()
            pid = os.fork()
            if pid == 0:
                self._call(socket, cgroup, theirs)
            os.close(theirs)
            self.ends.append(end)
            bench.addCleanup(os.waitpid, pid, 0)
        time.sleep(1)  # until all wait

    def _call(self, socket, cgroup, end):
        try:
            os.close(self.go)
            enter(cgroup)
            os.read(self.go_read, 1)  # ends when `go` is closed
            stream, messages = Stream(socket, 30), []
            while not messages and not stream.over:
                messages = stream.on_readable()
            os.write(end, struct.pack('d', time.monotonic() if messages else -1))
        finally:
            os._exit(0)

    def release(self):
        """When each had its SVIDs, by time.monotonic(); None for one that got none."""
        os.close(self.go)
        served = []
        for end in self.ends:
            select.select([end], [], [], 60)
            at = struct.unpack('d', os.read(end, 8))[0]
            os.close(end)
            served.append(at if at > 0 else None)
        os.close(self.go_read)
        return served
