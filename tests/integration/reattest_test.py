"""The reason for an open stream's identity goes while the stream is open: so does the identity, though nobody asked anew."""

import hashlib
import os
import shutil
import sys
import unittest

from audit_view import AuditView
from cgroups import Cgroups
from node import UID, NodeTest, entry, eventually, is_root
from programs import PYTHON, stream_program

ME = f'unix:uid:{os.geteuid()}'
PERMISSION_DENIED = 7
EVERY_SECOND = [('limits', {'reattestation_interval': '1s'})]


@unittest.skipUnless(is_root(), 'needs root: processes of other users are made, and moved')
class ReattestTest(NodeTest):
    def follow(self, node, program=None, **how):
        """An open stream of a process of its own, which has its first message."""
        stream = node.start_lines([*(program or [PYTHON, '-B']), *stream_program(node)[2:], 'follow', node.socket], **how)
        return stream, [svid['id'] for svid in stream.json(20)['svids']]

    def python_at(self, node, name):
        """A copy of the interpreter, so that a test's program has a path of its own."""
        path = node.dir / name
        shutil.copy(os.path.realpath(PYTHON), path)
        path.chmod(0o755)
        return path

    def test_a_process_that_leaves_its_cgroup_loses_its_identity_within_the_interval(self):
        cgroups = Cgroups(self)
        inside, outside = cgroups.make('agent'), cgroups.make('elsewhere')
        node = self.started_node([entry('/agent', f'unix:uid:{UID}', cgroups.selector(inside))], config=EVERY_SECOND)
        stream, ids = self.follow(node, uid=UID, cgroup=inside)
        self.assertEqual(ids, ['spiffe://example.org/agent'])
        (outside / 'cgroup.procs').write_text(str(stream.pid), encoding='ascii')
        self.assertEqual(stream.json(5)['status'], PERMISSION_DENIED)
        # The record is written beside the answer, not before it, and may come after one of a look in the middle of the move.
        AuditView(node).wait(decision='deny', caller={'selectors': lambda selectors: cgroups.selector(outside) in selectors})

    def test_a_process_that_left_its_cgroup_is_not_shown_the_renewed_svid(self):
        cgroups = Cgroups(self)
        inside, outside = cgroups.make('agent'), cgroups.make('elsewhere')
        node = self.started_node([entry('/agent', f'unix:uid:{UID}', cgroups.selector(inside))], x509_ttl='10s')
        stream, _ = self.follow(node, uid=UID, cgroup=inside)
        (outside / 'cgroup.procs').write_text(str(stream.pid), encoding='ascii')
        self.assertEqual(stream.json(15)['status'], PERMISSION_DENIED)

    def test_one_of_two_reasons_that_goes_takes_one_of_two_identities(self):
        cgroups = Cgroups(self)
        inside, outside = cgroups.make('agent'), cgroups.make('elsewhere')
        node = self.started_node([entry('/user', f'unix:uid:{UID}'), entry('/agent', f'unix:uid:{UID}', cgroups.selector(inside))],
                                 config=EVERY_SECOND)
        stream, ids = self.follow(node, uid=UID, cgroup=inside)
        self.assertEqual(ids, ['spiffe://example.org/user', 'spiffe://example.org/agent'])
        (outside / 'cgroup.procs').write_text(str(stream.pid), encoding='ascii')
        self.assertEqual([svid['id'] for svid in stream.json(5)['svids']], ['spiffe://example.org/user'])

    def test_a_program_whose_file_is_replaced_loses_what_it_had_by_its_path_and_keeps_what_it_has_by_its_hash(self):
        node = self.node([], config=EVERY_SECOND)
        tool, new = self.python_at(node, 'tool'), self.python_at(node, 'new')
        with open(new, 'ab') as file:
            file.write(b'another version')
        digest = hashlib.sha256(tool.read_bytes()).hexdigest()
        node.register([entry('/path', f'unix:uid:{UID}', f'unix:path:{tool}'), entry('/hash', f'unix:uid:{UID}', f'unix:sha256:{digest}')])
        node.start()
        stream, ids = self.follow(node, [tool, '-B'], uid=UID)
        self.assertEqual(ids, ['spiffe://example.org/path', 'spiffe://example.org/hash'])
        new.rename(tool)
        self.assertEqual([svid['id'] for svid in stream.json(5)['svids']], ['spiffe://example.org/hash'])

    def test_a_process_that_becomes_another_program_loses_its_identity(self):
        node = self.node([], config=EVERY_SECOND)
        tool = self.python_at(node, 'tool')
        node.register([entry('/tool', f'unix:uid:{UID}', f'unix:path:{tool}')])
        node.start()
        stream_program(node)
        script = node.dir / 'become.py'
        script.write_text(BECOME, encoding='utf-8')
        stream = node.start_lines([tool, '-B', script, node.socket, PYTHON], uid=UID)
        self.assertEqual(stream.json(20), {'message': 1})
        self.assertEqual(stream.json(10), {'status': PERMISSION_DENIED})

    def test_while_it_cannot_be_found_out_a_stream_keeps_its_set_without_renewal(self):
        node = self.node([entry('/me', f'unix:uid:{UID}')], x509_ttl='20s', config=[('limits', {'attestation_timeout': '100ms'})])
        node.start()
        slow = self.python_at(node, 'slow')
        os.truncate(slow, 1 << 30)  # nearly all of it a hole; hashing it takes longer than the timeout
        stream, _ = self.follow(node, [slow, '-B'], uid=UID)
        node.register([entry('/me', f'unix:uid:{UID}'), entry('/hashed', f'unix:uid:{UID}', f'unix:sha256:{"0" * 64}')])
        log = AuditView(node)
        kept = log.wait(decision='deny', reason=lambda reason: 'without renewal' in reason)
        self.assertIn('unix:sha256', kept['reason'])
        eventually(lambda: log.lines(kind='issue', spiffe_id='spiffe://example.org/me')[1:], 20, 'a renewal')
        self.assertFalse(stream.has_line(), 'neither renewed nor ended')
        node.register([entry('/me', f'unix:uid:{UID}')])
        self.assertEqual([svid['id'] for svid in stream.json(10)['svids']], ['spiffe://example.org/me'])


# Has a stream open, and becomes another program of the same process, which goes on reading.
BECOME = """
import os, socket, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from raw_call import Answers, call_bytes, emit
if sys.argv[1] == 'go on':
    connection = socket.socket(fileno=int(sys.argv[2]))
else:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    connection.sendall(call_bytes())
connection.settimeout(60)
answers = Answers(connection)
while answers.status is None and not answers.closed:
    answers.read_some()
    if sys.argv[1] != 'go on' and answers.messages:
        emit({'message': 1})
        os.set_inheritable(connection.fileno(), True)
        os.execv(sys.argv[2], [sys.argv[2], '-B', __file__, 'go on', str(connection.fileno())])
emit({'status': answers.status})
"""


if __name__ == '__main__':
    sys.exit(unittest.main())
