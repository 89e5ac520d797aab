"""The kubernetes attestor beside a kubelet that does what a real one does not do on demand: it lies, fails, is slow, or somebody else's.

The agent is the real one, over real TLS; the callers' cgroups are named as pods' are. tests/kubernetes has the real kubelet.
"""

import json
import os
import secrets
import threading
import time
import uuid

from cgroups import Cgroups
from kubelet import Kubelet, container, pod
from node import EXIT_OK, NodeTest, UID, OTHER_UID, entry, eventually, needs_root
from process import sanitized, scaled
from programs import stream_program

PREFIX = 'spiffe://example.org'
PERMISSION_DENIED = 7


@needs_root('makes cgroups')
class KubeletAttackTest(NodeTest):
    def setUp(self):
        self.kubelet, self.cgroups = Kubelet(self), Cgroups(self)
        self.id, self.uid = secrets.token_hex(32), str(uuid.uuid4())
        self.pod = pod('refund', [container('main', id_=self.id)], 'shop', 'refund-bot', {'app': 'refund'}, uid=self.uid)
        self.kubelet.pods = [self.pod]

    def start(self, **attestor):
        """A node, and the cgroup of the pod's container."""
        node = self.node([entry('/pod', 'k8s:ns:shop', 'k8s:sa:refund-bot'), entry('/user', f'unix:uid:{OTHER_UID}')])
        node.write_config(more=[('attestors', {'kubernetes': self.kubelet.configuration(**attestor)})])
        return node.start(), self.cgroups.make(f'kubepods/besteffort/pod{self.uid}/{self.id}')

    def denied(self, node, cgroup, reason, seconds=60):
        done = node.cli('fetch', 'x509', uid=UID, cgroup=cgroup, seconds=seconds)
        self.assertNotEqual(done.returncode, EXIT_OK, done.stdout)
        self.assertRegex(done.stderr, reason)
        self.assertNotIn(self.kubelet.token, done.stderr + node.log_text())
        self.assertEqual(node.fetch_ids(uid=OTHER_UID), [f'{PREFIX}/user'], 'somebody else is served all the same')

    def test_an_honest_kubelet_is_believed_and_gets_the_token(self):
        node, cgroup = self.start()
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=cgroup), [f'{PREFIX}/pod'])
        self.assertEqual({token for _, token in self.kubelet.requests}, {f'Bearer {self.kubelet.token}'})
        shown = json.loads(node.cli('attest', os.getpid(), '--output', 'json').stdout)
        self.assertNotIn('k8s', json.dumps(shown['selectors']))

    def test_a_pod_has_every_selector_that_its_kubelet_tells(self):
        self.pod['status']['initContainerStatuses'] = [container('init', 'registry.test/init:v2', secrets.token_hex(32))]
        node, cgroup = self.start()
        idle = node.start_lines(['/bin/sleep', '600'], uid=UID, cgroup=cgroup)
        shown = json.loads(node.cli('attest', idle.pid, '--output', 'json').stdout)
        owner = self.pod['metadata']['ownerReferences'][0]
        image, digest = (self.pod['status']['containerStatuses'][0][key] for key in ('image', 'imageID'))
        init, init_digest = (self.pod['status']['initContainerStatuses'][0][key] for key in ('image', 'imageID'))
        self.assertEqual(sorted(one for one in shown['selectors'] if one.startswith('k8s:')), sorted(f'k8s:{one}' for one in (
            'ns:shop', 'sa:refund-bot', 'node-name:node1', f'pod-uid:{self.uid}', 'pod-name:refund', 'pod-label:app:refund',
            'pod-label:pod-template-hash:7d9c8b6f5d', f'pod-owner:ReplicaSet:{owner["name"]}', f'pod-owner-uid:ReplicaSet:{owner["uid"]}',
            f'pod-image:{image}', f'pod-image:{digest}', 'pod-image-count:1', f'pod-init-image:{init}', f'pod-init-image:{init_digest}',
            'pod-init-image-count:1', 'container-name:main', f'container-image:{image}', f'container-image:{digest}')))

    def test_a_container_of_a_root_process_and_init_and_ephemeral_containers_are_containers_like_any_other(self):
        ids = [secrets.token_hex(32) for _ in range(2)]
        self.pod['status'] |= {'initContainerStatuses': [container('init', id_=ids[0])],
                               'ephemeralContainerStatuses': [container('debugger', id_=ids[1])]}
        node, cgroup = self.start()
        self.assertEqual(node.fetch_ids(uid=0, cgroup=cgroup), [f'{PREFIX}/pod'])
        for id_ in ids:
            inside = self.cgroups.make(f'kubepods/besteffort/pod{self.uid}/{id_}')
            self.assertEqual(node.fetch_ids(uid=UID, cgroup=inside), [f'{PREFIX}/pod'])

    def test_a_pod_that_has_just_started_gets_its_identity_without_asking_again(self):
        self.kubelet.pods = [pod('refund', [container('main')], 'shop', 'refund-bot', uid=self.uid)]
        node, cgroup = self.start()
        caller = node.start_cli('fetch', 'x509', '--output', 'json', uid=UID, cgroup=cgroup)
        eventually(lambda: len(self.kubelet.requests) >= 3, what='that the kubelet is asked again')
        self.kubelet.pods = [self.pod]
        self.assertEqual(caller.wait(), EXIT_OK, caller.error_text())

    def test_a_label_that_is_changed_takes_the_identity_of_an_open_stream(self):
        node = self.node([entry('/refund', 'k8s:ns:shop', 'k8s:pod-label:app:refund')])
        node.write_config(more=[('attestors', {'kubernetes': self.kubelet.configuration(refresh='200ms')}),
                                ('limits', {'reattestation_interval': '1s'})])
        node.start()
        cgroup = self.cgroups.make(f'kubepods/besteffort/pod{self.uid}/{self.id}')
        stream = node.start_lines([*stream_program(node), 'follow', node.socket], uid=UID, cgroup=cgroup)
        self.assertEqual(len(stream.json()['svids']), 1)
        changed = json.loads(json.dumps(self.pod))
        changed['metadata']['labels']['app'] = 'planner'
        self.kubelet.pods = [changed]
        self.assertEqual(stream.json(30)['status'], PERMISSION_DENIED)

    def start_with_labels(self, **attestor):
        """A node that gives one identity by a label of the namespace, one without, and the cgroup of the pod's container."""
        node = self.node([entry('/pod', 'k8s:ns:shop'), entry('/refunds', 'k8s:sa:refund-bot', 'k8s:ns-label:team:refunds')])
        node.write_config(more=[('attestors', {'kubernetes': self.kubelet.configuration(
            refresh='200ms', api_server=self.kubelet.api_server(), **attestor)})])
        return node.start(), self.cgroups.make(f'kubepods/besteffort/pod{self.uid}/{self.id}')

    def test_a_label_of_the_namespace_gives_an_identity_as_long_as_the_api_server_says_it(self):
        self.kubelet.namespaces['shop'] = {'kubernetes.io/metadata.name': 'shop', 'team': 'refunds'}
        node, cgroup = self.start_with_labels()
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=cgroup), [f'{PREFIX}/pod', f'{PREFIX}/refunds'])
        self.kubelet.namespaces['shop'] = {'kubernetes.io/metadata.name': 'shop', 'team': 'reports'}
        eventually(lambda: node.fetch_ids(uid=UID, cgroup=cgroup) == [f'{PREFIX}/pod'], what='that the label is seen')

    def test_while_the_api_server_says_nothing_nobody_has_an_identity_that_its_word_could_give(self):
        node, cgroup = self.start_with_labels()
        done = node.cli('fetch', 'x509', uid=UID, cgroup=cgroup)
        self.assertNotEqual(done.returncode, EXIT_OK, done.stdout)
        self.assertRegex(done.stderr, r'ask the API server: https://127\.0\.0\.1:\d+/api/v1/namespaces/shop: it refused with HTTP status 404')
        self.assertIn('API server', node.cli('health').stdout)
        uid, id_ = str(uuid.uuid4()), secrets.token_hex(32)
        self.kubelet.pods = [self.pod, pod('other', [container('main', id_=id_)], 'shop', 'other', uid=uid)]
        inside = self.cgroups.make(f'kubepods/besteffort/pod{uid}/{id_}')
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=inside), [f'{PREFIX}/pod'], 'whose service account rules the entry out')
        self.kubelet.namespaces['shop'] = {}
        eventually(lambda: node.cli('fetch', 'x509', uid=UID, cgroup=cgroup).returncode == EXIT_OK, what='that it is served again')

    def test_an_api_server_that_says_nothing_or_garbage_gives_nothing_and_delays_nobody_who_does_not_need_it(self):
        held = threading.Event()
        self.addCleanup(held.set)
        silent = {'in time': lambda handler: held.wait(30)}
        garbage = {
            'read the API server.s answer': lambda handler: handler.say(200, b'{"kind":"Namespace","metadata":'),
            'no kind of the kind': lambda handler: handler.say(200, b'{"kind":"Status"}'),
            'about another namespace': lambda handler: handler.say(200, b'{"kind":"Namespace","metadata":{"name":"other"}}'),
            'longer than': lambda handler: handler.say(200, b' ' * (3 << 20))}
        node, cgroup = self.start_with_labels()
        for reason, answer in (garbage | silent).items():
            self.kubelet.answer = lambda handler, answer=answer: (
                answer(handler) if handler.path.startswith('/api/') else handler.say(200, self.kubelet.body()))
            caller = node.start_cli('fetch', 'x509', uid=UID, cgroup=cgroup)
            begun = time.monotonic()
            self.assertNotEqual(node.cli('fetch', 'x509', uid=OTHER_UID).returncode, EXIT_OK)
            self.assertLess(time.monotonic() - begun, scaled(2), 'who is in no pod does not wait')
            self.assertNotEqual(caller.wait(60), EXIT_OK)
            self.assertRegex(caller.error_text(), f'ask the API server: .*{reason}')

    def test_another_certificate_is_refused_before_the_token_is_sent(self):
        for reason, certify in {
                'node1': lambda: self.kubelet.certify('DNS:node2,IP:127.0.0.1'),
                'expired': lambda: self.kubelet.certify('DNS:node1', days=-1),
                'authority|issuer|self.signed': lambda: (self.kubelet.authority.certify('stranger'),
                                                         self.kubelet.certify('DNS:node1', issuer='stranger'))}.items():
            certify()
            self.kubelet.requests.clear()
            node, cgroup = self.start()
            self.denied(node, cgroup, f'(?i){reason}')
            self.assertEqual(self.kubelet.requests, [])
            node.stop()

    def test_a_kubelet_that_refuses_after_working_takes_nothing_at_once_and_grants_nothing_new(self):
        node, cgroup = self.start(refresh='200ms')
        stream = node.start_lines([*stream_program(node), 'follow', node.socket], uid=UID, cgroup=cgroup)
        self.assertEqual(len(stream.json()['svids']), 1)
        for status in (401, 403):
            self.kubelet.answer = lambda handler, status=status: handler.say(status, b'Forbidden (verb=get, resource=nodes)')
            time.sleep(0.3)
            self.denied(node, cgroup, f'status {status}')
            self.assertRegex(node.cli('health').stdout, f'(?s)degraded.*attestor k8s .*status {status}')
        self.assertFalse(stream.has_line(), 'the open stream keeps what it has')
        self.kubelet.answer = None
        eventually(lambda: node.cli('fetch', 'x509', uid=UID, cgroup=cgroup).returncode == EXIT_OK, what='that it is served again')
        self.assertNotIn('k8s', node.cli('health').stdout)

    def test_health_tells_of_a_kubelet_that_refuses_before_anybody_calls_and_until_it_answers(self):
        self.kubelet.answer = lambda handler: handler.say(403, b'Forbidden (verb=get, resource=nodes)')
        node, _ = self.start()
        eventually(lambda: 'status 403' in node.cli('health').stdout, what='that health tells of it')
        self.kubelet.answer = None
        eventually(lambda: 'k8s' not in node.cli('health').stdout, 30, 'that health knows better, though nobody has called')

    def test_a_token_that_is_renewed_is_used_for_the_next_request(self):
        node, cgroup = self.start(refresh='200ms')
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=cgroup), [f'{PREFIX}/pod'])
        self.kubelet.token = secrets.token_hex(32)
        self.kubelet.write_token(self.kubelet.token)
        time.sleep(0.3)
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=cgroup), [f'{PREFIX}/pod'])

    def test_garbage_and_endless_answers_are_refused(self):
        def whole(body):
            return lambda handler: handler.say(200, body)

        def not_http(handler):
            handler.wfile.write(b'\x16\x03\x01garbage\r\n\r\n')
            handler.close_connection = True
        answers = {'not HTTP|no answer|reply': not_http,
                   'no list of pods': whole(b'{"kind":"PodList","items":[{"metadata":'),
                   'has no items': whole(b'{"kind":"PodList"}'),
                   'longer than': whole(b' ' * (50 << 20)),
                   'status 500': lambda handler: handler.say(500, b'Oops'),
                   'status 302': lambda handler: handler.say(302, b''),
                   'another|on node node2': whole(json.dumps({'items': [pod('x', [], node='node2')]}).encode())}
        node, cgroup = self.start(refresh='200ms')
        before = node.resident_bytes()
        time.sleep(0.3)  # what the kubelet has said at start is old then
        for reason, answer in answers.items():
            self.kubelet.answer = answer
            self.denied(node, cgroup, reason)
        if not sanitized():  # a sanitizer keeps what was released for a while
            self.assertLess(node.resident_bytes() - before, 80 << 20)

    def test_a_kubelet_that_says_nothing_delays_nobody_else(self):
        held = threading.Event()
        self.addCleanup(held.set)
        node, cgroup = self.start(timeout='1s', refresh='200ms')
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=cgroup), [f'{PREFIX}/pod'])
        self.kubelet.answer = lambda handler: held.wait(30)
        self.kubelet.requests.clear()
        time.sleep(0.3)
        slow = node.start_cli('fetch', 'x509', uid=UID, cgroup=cgroup)
        eventually(lambda: self.kubelet.requests, what='that the kubelet is asked')
        begun = time.monotonic()
        self.assertEqual(node.fetch_ids(uid=OTHER_UID), [f'{PREFIX}/user'])
        self.assertLess(time.monotonic() - begun, scaled(0.5))
        self.assertIsNone(slow.process.poll())
        self.assertNotEqual(slow.wait(30), EXIT_OK)
        self.assertRegex(slow.error_text(), r'ask the kubelet: https://.*/pods: .*in time')

    def test_a_container_that_the_kubelet_puts_into_another_pod_gets_nothing(self):
        node, _ = self.start()
        forged = self.cgroups.make(f'kubepods/besteffort/pod{uuid.uuid4()}/{self.id}')
        self.denied(node, forged, 'into pod .* and the kubelet into pod')

    def test_a_users_cgroup_named_like_a_pods_container_gets_nothing(self):
        node, _ = self.start()
        eventually(lambda: self.kubelet.requests, what='that it is asked once at the start, for health')
        self.kubelet.requests.clear()
        own = self.cgroups.make('user.slice')
        os.chown(own, UID, UID)
        forged = self.cgroups.make(f'user.slice/kubepods/pod{self.uid}/{self.id}')
        done = node.cli('fetch', 'x509', uid=UID, cgroup=forged)
        self.assertNotEqual(done.returncode, EXIT_OK)
        self.assertEqual(self.kubelet.requests, [], 'it was not even asked for')

    def test_a_container_that_is_no_pods_is_denied_without_waiting(self):
        node, _ = self.start()
        other = self.cgroups.make(f'docker-{secrets.token_hex(32)}.scope')
        begun = time.monotonic()
        self.assertIn('no identity issued', node.refused(uid=UID, cgroup=other))
        self.assertLess(time.monotonic() - begun, scaled(5))

    def test_a_hundred_pods_that_start_at_once_cost_the_kubelet_five_requests_a_second(self):
        pods, cgroups = [], []
        for number in range(100):
            id_, uid = secrets.token_hex(32), str(uuid.uuid4())
            pods.append(pod(f'web-{number}', [container('main', id_=id_)], 'shop', 'refund-bot', uid=uid))
            cgroups.append(self.cgroups.make(f'kubepods/besteffort/pod{uid}/{id_}'))
        self.kubelet.pods = []
        node, _ = self.start()
        callers = [node.start_cli('fetch', 'x509', '--output', 'json', uid=UID, cgroup=cgroup) for cgroup in cgroups[::5]]
        eventually(lambda: len(self.kubelet.requests) >= 4, what='that the kubelet is asked again')
        self.kubelet.pods = pods
        for caller in callers:
            self.assertEqual(caller.wait(60), EXIT_OK, caller.error_text())
        times = [at for at, _ in self.kubelet.requests]
        self.assertLessEqual(max(sum(start <= at < start + 1 for at in times) for start in times), 6)
