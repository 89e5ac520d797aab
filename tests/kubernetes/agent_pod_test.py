"""The node agent's pod and its node come and go, and no workload loses its identity for it or has to be started anew."""

import calendar
import os
import time

from cluster_node import until
from lanyard_case import SAMPLE, SYSTEM, WATCH, LanyardCase, entry, workload

PODS = ('one', 'two', 'three')


class AgentPodTest(LanyardCase):
    def watch(self):
        """Pods with open streams, that have had one message each."""
        self.register(*(entry(f'/{name}', f'ns:{self.namespace}', f'pod-name:{name}') for name in PODS))
        self.start(*(workload(name, *WATCH) for name in PODS))
        for name in PODS:
            until(lambda name=name: self.ids_now(name) == {f'/{name}'}, 30, f'the identity of {name}')

    def check_that_all_came_back(self, seconds):
        """Each has its identity from another stream, never was refused, and never was without one that is valid."""
        for name in PODS:
            until(lambda name=name: len(self.updates(name)) > 1, seconds, f'that {name} has come back')
            before, *_, after = self.updates(name)
            self.assertEqual(self.ids_now(name), {f'/{name}'})
            self.assertLess(_seconds(after['time']), min(_seconds(svid['not_after']) for svid in before['svids']))
            self.assertNotIn('PERMISSION_DENIED', self.cluster.logs(name, namespace=self.namespace))
            [status] = self.cluster.get('pod', name, '--namespace', self.namespace)['status']['containerStatuses']
            self.assertEqual(status['restartCount'], 0, name)
        print('without a stream:', ', '.join(f'{name} {self.gap(name):.1f} s' for name in PODS))

    def gap(self, name):
        """Seconds between the end of a stream and the first message of the next."""
        ended = None
        for line in self.cluster.logs(name, '--timestamps', namespace=self.namespace).splitlines():
            stamp, _, said = line.partition(' ')
            at = _seconds(f'{stamp[:19]}Z') + float(f'0{stamp[19:-1]}')
            if not said.startswith('{'):
                ended = ended or at
            elif ended:
                return at - ended
        return 0

    def test_nobody_loses_an_identity_while_the_agents_pod_is_replaced(self):
        self.watch()
        old, directory = self.agent_pod()['metadata'], self.socket_directory()
        self.cluster.kubectl('delete', 'pod', old['name'], f'--namespace={SYSTEM}')
        self.rolled_out()
        self.assertNotEqual(self.agent_pod()['metadata']['uid'], old['uid'])
        self.assertEqual(self.socket_directory(), directory, 'what the workloads have mounted is another directory now')
        self.check_that_all_came_back(15)

    def socket_directory(self):
        about = os.stat(self.cluster.node.path('/run/lanyard'))
        return about.st_dev, about.st_ino

    def test_nobody_loses_an_identity_when_the_agent_is_killed(self):
        self.watch()
        before = self.agent_pod()
        [status] = before['status']['containerStatuses']
        self.cluster.node.must('kill', '-KILL', self.pids(before)[0])
        until(lambda: self.agent_pod()['status']['containerStatuses'][0]['restartCount'] == status['restartCount'] + 1, 60,
              'that the kubelet has started another one')
        self.rolled_out()
        self.assertEqual(self.agent_pod()['metadata']['uid'], before['metadata']['uid'])
        self.check_that_all_came_back(15)

    def test_after_a_loss_of_power_all_come_back_by_themselves(self):
        self.watch()
        self.cluster.wait_for('deployment/sample-agent', 'condition=Available', SAMPLE)
        before = time.time()
        self.cluster.power_off()
        self.cluster.up()
        up = time.time()
        for name in PODS:
            until(lambda name=name: self.watches_since(before, name), 150, f'that {name} runs again and has its identity')
        self.rolled_out()
        until(lambda: 'answer: "order 4711 is on its way"' in self.since(before, 'deployment/sample-agent', SAMPLE), 150,
              'that the sample\'s agent has an answer again')
        print(f'{time.time() - up:.0f} s after the node was ready')

    def since(self, when, what, namespace):
        """What a container that runs has written since; nothing while none runs."""
        stamp = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(when))
        logs = self.cluster.kubectl_command('logs', what, f'--namespace={namespace}', f'--since-time={stamp}')
        return self.cluster.node.run(*logs).stdout

    def watches_since(self, when, name):
        return f'"spiffe://example.org/{name}"' in self.since(when, name, self.namespace)


def _seconds(stamp):
    return calendar.timegm(time.strptime(stamp, '%Y-%m-%dT%H:%M:%SZ'))
