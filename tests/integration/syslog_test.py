"""Checkpoints of the audit log to syslog: a /dev/log of our own, in a mount namespace that the test makes."""

import json
import os
import socket

from audit_view import AuditView
from node import EXIT_OK, NodeTest, entry, eventually, needs_root
from process import scaled

ME = f'unix:uid:{os.geteuid()}'

# $1: a directory that becomes /dev, with what a program needs of it.
NAMESPACE = '''
for name in null zero urandom random; do : >"$1/$name"; mount --bind "/dev/$name" "$1/$name" || exit 1; done
mount --rbind "$1" /dev || exit 1
shift
exec "$@"
'''


class SyslogTest(NodeTest):
    @needs_root('a /dev of its own is mounted')
    def test_checkpoints_go_to_syslog_and_a_daemon_that_does_not_read_holds_nothing_up(self):
        node = self.node([entry('/me', ME)],
                         config=[('audit', {'checkpoints_to': 'syslog', 'checkpoint_interval': '1s'})])
        devices = node.dir / 'dev'
        devices.mkdir()
        node.within = ['unshare', '--mount', 'sh', '-c', NAMESPACE, 'sh', devices]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind(str(devices / 'log'))
            daemon.settimeout(scaled(20))
            node.start()
            node.fetch()
            message = daemon.recv(65536).decode()
            self.assertRegex(message, r'^<85>\w{3} [ \d]\d \d\d:\d\d:\d\d lanyard\[\d+\]: audit checkpoint \{')
            checkpoint = json.loads(message.split('audit checkpoint ', 1)[1])
            self.assertEqual(checkpoint['kind'], 'checkpoint')
            self.assertIn(checkpoint, AuditView(node).lines(kind='checkpoint'))
            self.fill(devices / 'log')
            eventually(lambda: self.unread(node), 20, 'health that says so')
            for _ in range(20):
                node.fetch()
            eventually(lambda: self.read_all(daemon) and not self.unread(node), 20, 'health without it')
        self.assertEqual(node.stop(), EXIT_OK)

    @staticmethod
    def fill(path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            other.connect(str(path))
            try:
                while True:
                    other.send(b'x')
            except BlockingIOError:
                pass

    @staticmethod
    def read_all(daemon):
        """Again and again: a slow agent has more checkpoints to tell than the socket holds."""
        daemon.setblocking(False)
        try:
            while True:
                daemon.recv(65536)
        except BlockingIOError:
            return True

    @staticmethod
    def unread(node):
        node.fetch()  # something to sign
        return 'cannot be copied to syslog' in node.cli('health').stdout
