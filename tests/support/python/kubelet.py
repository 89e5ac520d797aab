"""A kubelet of a test's own, which says what the test wants: GET /pods over real TLS, for whoever has the token. Beside that it
answers as an API server would for the labels of a namespace, GET /api/v1/namespaces/NAME.

What a real one says is tried in tests/kubernetes; this one is for what a real one does not do on demand: hundreds of pods, pods that
appear at a given moment, and answers that are wrong.
"""

import hashlib
import http.server
import json
import pathlib
import secrets
import shutil
import ssl
import tempfile
import threading
import time
import uuid

from authority import OpensslAuthority

NODE = 'node1'


def container(name, image='registry.test/app:v1', id_=None):
    """What a kubelet says of a container; without an id it is not made yet."""
    running = {'state': {'running': {'startedAt': '2026-01-01T00:00:00Z'}}, 'containerID': f'containerd://{id_}', 'started': True}
    return {'name': name, 'image': image, 'imageID': f'{image.split(":")[0]}@sha256:{hashlib.sha256(image.encode()).hexdigest()}',
            'ready': bool(id_), 'restartCount': 0, 'lastState': {},
            'volumeMounts': [{'name': 'kube-api-access', 'mountPath': '/var/run/secrets/kubernetes.io/serviceaccount', 'readOnly': True}],
            **(running if id_ else {'state': {'waiting': {'reason': 'ContainerCreating'}}})}


def pod(name, containers, namespace='default', account='default', labels=None, uid=None, node=NODE, **statuses):
    """A pod as large as many are: about 8 KB with one container."""
    owner = {'apiVersion': 'apps/v1', 'kind': 'ReplicaSet', 'name': f'{name}-7d9c8b6f5d', 'uid': str(uuid.uuid4()), 'controller': True}
    spec = {'image': 'registry.test/app:v1', 'imagePullPolicy': 'IfNotPresent', 'terminationMessagePath': '/dev/termination-log',
            'env': [{'name': f'VARIABLE_{number}', 'value': f'{number} with a text of some length'} for number in range(16)],
            'resources': {'limits': {'cpu': '500m', 'memory': '512Mi'}, 'requests': {'cpu': '100m', 'memory': '128Mi'}},
            'volumeMounts': [{'name': f'volume-{number}', 'mountPath': f'/mnt/{number}'} for number in range(6)],
            'livenessProbe': {'httpGet': {'path': '/live', 'port': 8080, 'scheme': 'HTTP'}, 'timeoutSeconds': 1, 'periodSeconds': 10},
            'securityContext': {'allowPrivilegeEscalation': False, 'capabilities': {'drop': ['ALL']}}}
    managed = {f'k:{{"name":"VARIABLE_{number}"}}': {'.': {}, 'f:name': {}, 'f:value': {}} for number in range(16)}
    return {
        'metadata': {
            'name': name, 'generateName': f'{name[:-1]}', 'namespace': namespace, 'uid': uid or str(uuid.uuid4()), 'resourceVersion': '1000',
            'creationTimestamp': '2026-01-01T00:00:00Z', 'labels': {'pod-template-hash': '7d9c8b6f5d'} | (labels or {}),
            'annotations': {'kubernetes.io/config.source': 'api'}, 'ownerReferences': [owner],
            'managedFields': [{'manager': 'kube-controller-manager', 'operation': 'Update', 'apiVersion': 'v1', 'fieldsType': 'FieldsV1',
                               'fieldsV1': {'f:spec': {'f:containers': {'k:{"name":"main"}': {'f:env': managed}}}}}]},
        'spec': {'volumes': [{'name': f'volume-{number}', 'emptyDir': {}} for number in range(6)], 'restartPolicy': 'Always',
                 'containers': [spec | {'name': one['name']} for one in containers], 'serviceAccountName': account, 'nodeName': node,
                 'tolerations': [{'key': 'node.kubernetes.io/not-ready', 'operator': 'Exists', 'effect': 'NoExecute'}]},
        'status': {'phase': 'Running', 'hostIP': '10.0.0.1', 'podIP': '10.1.0.1', 'qosClass': 'Burstable',
                   'conditions': [{'type': kind, 'status': 'True', 'lastProbeTime': None, 'lastTransitionTime': '2026-01-01T00:00:00Z'}
                                  for kind in ('Initialized', 'Ready', 'ContainersReady', 'PodScheduled')],
                   'containerStatuses': containers, **statuses}}


class Kubelet:
    """`pods` is what it lists: a list, or a function that makes it; `namespaces` has their labels, by name. `answer`, where it is set, is called with the handler of each
    request and answers in its place."""

    def __init__(self, test, names=f'DNS:{NODE},IP:127.0.0.1'):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='lanyard-kubelet-', dir='/tmp'))
        self.dir.chmod(0o755)
        test.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.authority = OpensslAuthority(self.dir / 'pki')
        self.ca = self.authority.certify('ca')
        self.token, self.token_file = secrets.token_hex(32), self.dir / 'token'
        self.write_token(self.token)
        self.pods, self.namespaces, self.answer = [], {}, None
        self.requests = []  # when, and with which Authorization
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), self._handler())
        self.server.daemon_threads = True
        self.certify(names)
        self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self._cache = (None, b'')
        thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True)
        thread.start()
        test.addCleanup(self.stop)

    def certify(self, names, days=1, issuer='ca'):
        """From the next connection on it has a new certificate."""
        certificate = self.authority.issue('kubelet', issuer, names, days=days)
        if not hasattr(self, 'context'):
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, self.dir / 'pki/kubelet.key')

    def write_token(self, token):
        part = self.dir / 'token.part'
        part.write_text(token, encoding='ascii')
        part.chmod(0o600)
        part.replace(self.token_file)

    def configuration(self, **more):
        """Of our agent's attestors.kubernetes."""
        kubelet = {'address': '127.0.0.1', 'port': self.port, 'ca_path': str(self.ca), 'token_path': str(self.token_file)}
        return {'node_name': NODE, 'kubelet': kubelet | more.pop('kubelet', {})} | more

    def api_server(self):
        """The same as our agent's attestors.kubernetes.api_server."""
        return {'address': '127.0.0.1', 'port': self.port, 'ca_path': str(self.ca), 'token_path': str(self.token_file)}

    def body(self):
        pods = self.pods() if callable(self.pods) else self.pods
        if self._cache[0] is not pods:  # a list that was given once is written once
            text = json.dumps({'kind': 'PodList', 'apiVersion': 'v1', 'metadata': {}, 'items': pods}, separators=(',', ':'))
            self._cache = (pods, text.encode())
        return self._cache[1]

    def _handler(self):
        kubelet = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                kubelet.requests.append((time.monotonic(), self.headers.get('Authorization')))
                if kubelet.answer:
                    kubelet.answer(self)
                elif self.headers.get('Authorization') != f'Bearer {kubelet.token}':
                    self.say(401, b'Unauthorized')
                elif (name := self.path.removeprefix('/api/v1/namespaces/')) in kubelet.namespaces:
                    metadata = {'name': name, 'labels': kubelet.namespaces[name]}
                    self.say(200, json.dumps({'kind': 'Namespace', 'apiVersion': 'v1', 'metadata': metadata}).encode())
                elif self.path.rstrip('/') != '/pods':
                    self.say(404, b'404 page not found')
                else:
                    self.say(200, kubelet.body())

            def say(self, status, body):
                self.send_response(status)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                del arguments
        return Handler

    def stop(self):
        if self.server:
            server, self.server = self.server, None
            server.shutdown()
            server.server_close()
