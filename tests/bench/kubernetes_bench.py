"""What it costs to attest callers in pods, and how long many wait that start at once; beside a kubelet with 110 or 250 pods."""

import os
import statistics
import time
import uuid

from contenders import Bench, mine
from crowd import Crowd
from kubelet import Kubelet, container, pod
from cgroups import Cgroups

POD = ('/pod', ['k8s:ns:bench'], None)
SPACE = 0.7  # seconds between two callers: longer than spire-agent keeps an answer


class Node:
    """A kubelet with so many pods, and the cgroups of those that somebody calls from."""

    def __init__(self, bench, count):
        self.kubelet, self.cgroups = Kubelet(bench), Cgroups(bench)
        self.bench, self.containers = bench, []
        self.pods = [self.make(number) for number in range(count)]
        # As kubelets call static pods: without dashes in the uid.
        self.static = self.make(count, uid=uuid.uuid4().hex)
        self.kubelet.pods = [*self.pods, self.static]

    def make(self, number, uid=None):
        id_ = f'{os.getpid():08x}{number:056x}'
        made = pod(f'app-{number}', [container('main', id_=id_)], 'bench', uid=uid or str(uuid.uuid4()))
        made['container'] = id_
        return made

    def cgroup(self, made):
        return self.cgroups.make(f'kubepods/pod{made["metadata"]["uid"]}/{made["container"]}')


class KubernetesBench(Bench):
    def per_attestation(self, one, cgroup, count, space):
        """CPU of one fetch from the cgroup beyond one from outside, in microseconds."""
        spent = {}
        for where, svids in ((None, 1), (cgroup, 2)):
            before = one.cpu_seconds()
            for _ in range(count):
                begun = time.monotonic()
                self.assertEqual(one.load('first', 20, cgroup=where)['svids'], svids, one.name)
                time.sleep(max(0, space - (time.monotonic() - begun)))
            spent[where] = (one.cpu_seconds() - before) / count
        return 1e6 * (spent[cgroup] - spent[None])

    def test_kubernetes(self):
        calls = 10 if self.quick else 40
        for count in ((110,) if self.quick else (110, 250)):
            node = Node(self, count - 1)
            any_, static = node.cgroup(node.pods[count // 2]), node.cgroup(node.static)
            contenders = [one.start() for one in self.contenders([mine(), POD], limit=False, kubelet=node.kubelet)]
            for one in contenders:
                one.serves()
                one.load('first', 20, cgroup=any_)
            for _ in range(self.rounds):
                for one in contenders:
                    self.add(f'k8s.spaced.{count}', one, self.per_attestation(one, any_, calls, SPACE))
                    self.add(f'k8s.again.{count}', one, self.per_attestation(one, any_, 10 * calls, 0))
                    self.add(f'k8s.static.{count}', one, self.per_attestation(one, static, calls, SPACE))
                    self.add(f'k8s.memory.{count}', one, one.resident() / (1 << 20))
            for one in contenders:
                one.stop()

    def test_pods_at_once(self):
        """110 pods call at once, before the kubelet lists any of their containers; it lists ten more every 100 ms."""
        node = Node(self, 110)
        cgroups = [node.cgroup(made) for made in node.pods]
        for one in self.contenders([mine(), POD], limit=False, kubelet=node.kubelet):
            node.kubelet.pods = []  # also while it starts: what it is told then it may use for a while
            one.start().serves()
            crowd = Crowd(self, one.socket, cgroups)
            begin = None

            def listed(number):
                return begin + 0.5 + 0.1 * (number // 10)

            def pods():
                now = time.monotonic()
                return node.pods[:sum(now >= listed(number) for number in range(len(node.pods)))] if begin else []
            node.kubelet.pods = pods
            node.kubelet.requests.clear()
            begin = time.monotonic()
            served = crowd.release()
            late = [at - listed(number) if at else None for number, at in enumerate(served)]
            if self.all_served(one, late, 'pods'):
                self.add('k8s.crowd', one, 1000 * max(late))
                self.add('k8s.crowd.median', one, 1000 * statistics.median(late))
            times = [at for at, _ in node.kubelet.requests if begin <= at <= max(filter(None, served))]
            most = max(sum(start <= at < start + 1 for at in times) for start in times)
            self.add('k8s.requests', one, most)
            one.stop()
