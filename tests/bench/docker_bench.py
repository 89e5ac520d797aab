"""What it costs to attest callers in Docker containers, and how long many wait that start at once."""

import statistics
import time

from contenders import Bench, mine
from crowd import Crowd
from engines import Docker
from node import eventually

CONTAINER = ('/container', ['docker:label:role:bench'], None)
KEPT = 5  # seconds that our agent keeps what it was told (attestors/answer_cache.h)


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
                crowd, begin = Crowd(self, one.socket, cgroups), time.monotonic()
                served = crowd.release()
                if self.all_served(one, served, 'containers'):
                    self.add('docker.crowd', one, 1000 * (max(served) - begin))
