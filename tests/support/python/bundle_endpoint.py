"""A node whose bundle endpoint is served, for tests of what lies there: without files, or with a certificate for localhost."""

import http.client
import json
import os
import re
import socket
import ssl

from node import NodeTest, entry, eventually
from partner import openssl

ME = f'unix:uid:{os.geteuid()}'


class EndpointTest(NodeTest):
    def serving(self, cert=False, entries=None, x509_ttl='1h', port=0, **more):
        node = self.node(entries or [entry('/me', ME)])
        bundle = {'address': f'127.0.0.1:{port}'}
        if cert:
            bundle.update(cert=str(node.dir / 'cert.pem'), key=str(node.dir / 'key.pem'))
            self.give(node, 'first')
        node.write_config(x509_ttl, {'endpoints': {'metrics': '', 'health': '', 'bundle': bundle}, **more})
        node.start()
        node.port = int(eventually(lambda: re.findall(r'bundle endpoint on 127\.0\.0\.1:(\d+)$', node.log_text(), re.MULTILINE),
                                   10, 'its address in the log')[-1])
        eventually(lambda: self.speaks(node), 10, 'TLS')
        return node

    def give(self, node, name):
        """A certificate for localhost in the files, as certbot would put it there."""
        made = [node.dir / f'{name}.key', node.dir / f'{name}.crt']
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', 2, '-keyout', made[0],
                '-out', made[1], '-subj', f'/CN={name}', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1')
        for source, target, mode in ((made[0], 'key.pem', 0o600), (made[1], 'cert.pem', 0o644)):
            part = node.dir / f'{target}.part'
            part.write_bytes(source.read_bytes())
            part.chmod(mode)
            part.replace(node.dir / target)
        return made[1]

    def speaks(self, node):
        try:
            with self.shake(node) as connection:  # not left open: the oldest make room for others
                return connection.getpeercert(True)
        except (OSError, ssl.SSLError):
            return None

    def shake(self, node, context=None, **options):
        """A connection that has finished its handshake, unverified unless `context` says otherwise."""
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(socket.create_connection(('127.0.0.1', node.port), 10), **options)
        self.addCleanup(connection.close)
        return connection

    def get(self, node, path='/', method='GET', context=None):
        connection = http.client.HTTPSConnection('127.0.0.1', node.port, timeout=10, context=context or ssl._create_unverified_context())
        self.addCleanup(connection.close)
        connection.request(method, path)
        answer = connection.getresponse()
        return answer, answer.read()

    def document(self, node):
        answer, body = self.get(node)
        self.assertEqual(answer.status, 200, body)
        return json.loads(body.decode('utf-8'))

    def shown(self, node):
        """The subject and names of the certificate that it shows."""
        return openssl('x509', '-inform', 'der', '-noout', '-subject', '-ext', 'subjectAltName', '-in',
                       self.file(node, 'shown.der', self.speaks(node)))

    def file(self, node, name, content):
        (node.dir / name).write_bytes(content)
        return node.dir / name

    def findings(self, node):
        found = json.loads(node.cli('health', '--output', 'json').stdout)['findings']
        return [finding for finding in found if finding['component'] == 'bundle_endpoint']
