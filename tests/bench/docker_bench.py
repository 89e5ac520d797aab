"""What it costs to attest callers in Docker containers, and how long many wait that start at once."""

import os
import select
import statistics
import struct
import time

from contenders import Bench, mine
from engines import Docker
from node import eventually
from process import enter
from svid_stream import Stream

CONTAINER = ('/container', ['docker:label:role:bench'], None)
KEPT = 5  # seconds that our agent keeps what it was told (attestors/container_cache.h)


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
        """How long each waited for its SVIDs, in seconds; None for one that got none."""
        time.sleep(1)  # until all wait
        begin = time.monotonic()
        os.close(self.go)
        waited = []
        for end in self.ends:
            select.select([end], [], [], 60)
            at = struct.unpack('d', os.read(end, 8))[0]
            os.close(end)
            waited.append(at - begin if at > 0 else None)
        os.close(self.go_read)
        return waited


class DockerBench(Bench):
    def beyond(self, one, cgroups):
        """What the agent spends for a fetch from a container beyond one from outside, in microseconds: medians, taken in turn."""
        spent = {None: [], 'inside': []}
        for cgroup in cgroups:
            for where, key, svids in ((None, None, 1), (cgroup, 'inside', 2)):
                before = one.cpu_seconds()
                self.assertEqual(one.load('first', 10, cgroup=where)['svids'], svids, one.name)
                time.sleep(0.01)  # what it does afterwards is its work, too
                spent[key].append(one.cpu_seconds() - before)
        return 1e6 * (statistics.median(spent['inside']) - statistics.median(spent[None]))

    def test_docker(self):
        """Each container is asked about once, then one of them again and again; then all call together, as containers that start
        at once do. The callers are processes of the host in the containers' cgroups: what they cost is not the agents'."""
        docker = Docker(self).start().make_image()
        count = 40 if self.quick else 200
        containers = [docker.run('--label', 'role=bench') for _ in range(count)]
        cgroups = [docker.cgroups(container) for container in containers]
        contenders = [one.start() for one in self.contenders([mine(), CONTAINER], limit=False, docker=docker.socket)]
        for one in contenders:
            one.serves()
            eventually(lambda one=one: one.load('first', 10, cgroup=cgroups[0])['svids'] == 2, 30, f'that {one.name} has both entries')
        for _ in range(self.rounds):
            for one in contenders:
                time.sleep(KEPT + 1)
                self.add('docker.new', one, self.beyond(one, cgroups[:100]))
                self.add('docker.again', one, self.beyond(one, cgroups[:1] * min(count, 100)))
                time.sleep(KEPT + 1)
                waited = Crowd(self, one.socket, cgroups).release()
                if None in waited:
                    print(f'{one.name}: {waited.count(None)} of {count} containers were not served', flush=True)
                else:
                    self.add('docker.crowd', one, 1000 * max(waited))
