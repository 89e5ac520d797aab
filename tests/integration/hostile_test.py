"""Callers that break the protocol or lie about who they are. No identity goes to the wrong process, and others are served."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

from cgroups import Cgroups, remove
from node import EXIT_DENIED, EXIT_OK, UID, NodeTest, entry, eventually, needs_root, shared_file
from peers import PEERS
from programs import preloadable

ME = f'unix:uid:{os.geteuid()}'
RAW = shared_file(pathlib.Path(__file__).parents[1] / 'support/python/raw_call.py')


class HostileTest(NodeTest):
    def raw(self, node, verb, *numbers, **how):
        done = node.run([sys.executable, RAW, verb, node.socket, *numbers], seconds=60, **how)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout) if done.stdout else None

    def serves(self, node):
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])


class ProtocolTest(HostileTest):
    def call(self, node, how, size=0):
        """The status that a grpcio client gets for a call of a kind named in grpc_abuse.py."""
        python = PEERS / 'python/bin/python'
        if not python.exists():
            self.skipTest('the Python clients are not there; tests/peers.sh makes them')
        abuse = pathlib.Path(__file__).with_name('grpc_abuse.py')
        done = node.run([python, abuse, node.socket, how, size], seconds=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_well_formed_call_by_hand_gets_an_identity(self):
        node = self.started_node([entry('/me', ME)])
        self.assertEqual(self.raw(node, 'call')['messages'], 1)  # what the attacks below vary

    def test_a_call_without_the_security_header_is_an_invalid_argument(self):
        node = self.started_node([entry('/me', ME)])
        answer = self.call(node, 'no-header')
        self.assertEqual(answer['code'], 'INVALID_ARGUMENT')
        self.assertIn('workload.spiffe.io', answer['details'])

    def test_a_security_header_with_another_value_is_an_invalid_argument(self):
        node = self.started_node([entry('/me', ME)])
        self.assertEqual(self.call(node, 'false-header')['code'], 'INVALID_ARGUMENT')

    def test_an_oversized_message_is_refused_and_others_are_served(self):
        node = self.started_node([entry('/me', ME)])
        answer = self.call(node, 'message', 8 << 20)
        self.assertEqual(answer['code'], 'RESOURCE_EXHAUSTED')
        self.serves(node)

    def test_oversized_metadata_is_refused_and_others_are_served(self):
        node = self.started_node([entry('/me', ME)])
        answer = self.call(node, 'metadata', 1 << 20)
        self.assertNotEqual(answer['code'], 'OK')
        self.serves(node)

    def test_an_unknown_method_is_unimplemented(self):
        node = self.started_node([entry('/me', ME)])
        self.assertEqual(self.call(node, 'unknown-method')['code'], 'UNIMPLEMENTED')

    def test_a_message_that_is_no_protobuf_gets_no_identity(self):
        node = self.started_node([entry('/me', ME)])
        self.assertNotEqual(self.call(node, 'no-protobuf')['code'], 'OK')
        self.serves(node)

    def test_garbage_is_closed_and_others_are_served(self):
        node = self.started_node([entry('/me', ME)])
        self.assertEqual(self.raw(node, 'garbage', 20)['closed'], 20)
        self.serves(node)

    def test_half_open_connections_do_not_keep_others_from_being_served(self):
        node = self.started_node([entry('/me', ME)])
        for size in (0, 10, 40):  # nothing, half a preface, a preface without a call
            holder = node.start_lines([sys.executable, RAW, 'hold', node.socket, 60, size])
            self.assertEqual(holder.json()['open'], 60)
            self.serves(node)

    @needs_root('an agent that protects itself hides /proc/PID/fd from its own user')
    def test_connections_that_are_dropped_half_way_leave_nothing_behind(self):
        node = self.started_node([entry('/me', ME)])
        before = node.open_files()
        for size in (0, 10, 40):
            holder = node.start_lines([sys.executable, RAW, 'hold', node.socket, 60, size])
            self.assertEqual(holder.json()['open'], 60)
            holder.stop()
        eventually(lambda: node.open_files() <= before + 10, 30, 'that the agent closed its side')


class CallerTest(HostileTest):
    @needs_root('an agent that protects itself hides /proc/PID/io from its own user')
    def test_a_caller_that_exits_in_the_middle_of_attestation_gets_nothing_and_the_next_is_served(self):
        node, caller = self.slow_caller(lambda slow, node: [slow, 'fetch', 'x509'], lambda node: node.binary)
        caller.process.kill()
        self.assertNotEqual(caller.wait(), EXIT_OK)
        self.assertFalse(caller.has_line())
        self.serves(node)

    @needs_root('an agent that protects itself hides /proc/PID/io from its own user')
    def test_a_child_that_holds_the_connection_gets_nothing_when_its_maker_exits_in_the_middle_of_attestation(self):
        node, caller = self.slow_caller(lambda slow, node: [slow, RAW, 'hand_over', node.socket],
                                        lambda node: os.path.realpath(sys.executable))
        caller.process.stdin.write('exit\n')
        caller.process.stdin.flush()
        self.assertEqual(caller.json(60)['messages'], 0)
        self.serves(node)

    def slow_caller(self, command, program):
        """A node that is hashing the executable of a caller, since an entry asks for hashes: a copy of a program, a gigabyte long,
        nearly all of it a hole."""
        node = self.started_node([entry('/me', ME), entry('/hashed', f'unix:sha256:{"0" * 64}')])
        slow = node.dir / 'slow'
        shutil.copy(program(node), slow)
        os.truncate(slow, 1 << 30)
        read_before = self.bytes_read(node)
        caller = node.start_lines(['env', f'PYTHONHOME={sys.base_prefix}', *command(slow, node)])
        eventually(lambda: self.bytes_read(node) > read_before + (16 << 20), 20, 'that the agent hashes the executable')
        self.assertFalse(caller.has_line(), 'the caller was answered before it was attested')
        return node, caller

    @staticmethod
    def bytes_read(node):
        return int(pathlib.Path(f'/proc/{node.process.pid}/io').read_text(encoding='ascii').split('rchar: ')[1].split()[0])

    def test_callers_that_exit_as_soon_as_they_have_called_harm_nobody(self):
        node = self.started_node([entry('/me', ME)])
        for _ in range(10):
            self.assertIsNone(self.raw(node, 'leave', 20))
        self.serves(node)
        self.assertIsNone(node.process.poll())

    def test_a_child_that_inherits_a_connection_gets_nothing_after_its_maker_exited(self):
        node = self.started_node([entry('/me', ME)])
        child = node.start_lines([sys.executable, RAW, 'inherit', node.socket])
        answer = child.json(30)
        self.assertEqual(answer['messages'], 0, answer)
        self.serves(node)

    @needs_root('mount namespaces and other users are needed')
    def test_an_executable_path_forged_by_a_bind_mount_earns_nothing(self):
        node, command = self.forged_path()
        # --propagation private: the mount is to be seen in the attacker's namespace only.
        done = node.run(['unshare', '--mount', '--propagation', 'private', '--', 'sh', '-c', command(
            f'exec setpriv --reuid={UID} --regid={UID} --clear-groups -- "$0" fetch x509'), node.dir / 'tool'])
        self.assertEqual(done.returncode, EXIT_DENIED, done.stdout + done.stderr)

    @needs_root('a program runs under another user')
    def test_an_executable_path_forged_in_a_user_namespace_earns_nothing(self):
        probe = subprocess.run(['setpriv', f'--reuid={UID}', f'--regid={UID}', '--clear-groups', '--', 'unshare', '--user',
                                '--map-root-user', '--mount', 'true'], capture_output=True, text=True, check=False)
        if probe.returncode != 0:
            self.skipTest(f'unprivileged user namespaces are off here: {probe.stderr.strip()}')
        node, command = self.forged_path()
        done = node.run(['unshare', '--user', '--map-root-user', '--mount', '--', 'sh', '-c',
                         command('exec "$0" fetch x509'), node.dir / 'tool'], uid=UID)
        self.assertEqual(done.returncode, EXIT_DENIED, done.stdout + done.stderr)

    def forged_path(self):
        """A node where a program at a path has an identity, and a shell line that mounts another program over that path."""
        node = self.node([])
        tool, evil = node.dir / 'tool', node.dir / 'evil'
        shutil.copy(node.binary, tool)
        shutil.copy(node.binary, evil)
        with open(evil, 'ab') as file:
            file.write(b'not what was registered')
        node.register([entry('/tool', f'unix:uid:{UID}', f'unix:path:{tool}')])
        node.start()
        honest = node.run([tool, 'fetch', 'x509'], uid=UID)
        self.assertEqual(honest.returncode, EXIT_OK, honest.stderr + node.log_text())
        return node, lambda then: f'mount --bind {evil} {tool} && {then}'

    @needs_root('programs run under other users')
    def test_an_executable_is_known_by_its_hash_wherever_it_lies(self):
        node = self.node([])
        digest = subprocess.run(['sha256sum', node.binary], capture_output=True, text=True, check=True).stdout.split()[0]
        evil = node.dir / 'evil'
        shutil.copy(node.binary, evil)
        with open(evil, 'ab') as file:
            file.write(b'not what was registered')
        node.register([entry('/tool', f'unix:uid:{UID}', f'unix:sha256:{digest}')])
        node.start()
        self.assertEqual(node.cli('fetch', 'x509', uid=UID).returncode, EXIT_OK, node.log_text())
        self.assertEqual(node.run([evil, 'fetch', 'x509'], uid=UID).returncode, EXIT_DENIED)

    @needs_root('cgroups are made')
    def test_a_cgroup_that_only_looks_like_the_registered_one_earns_nothing(self):
        cgroups = Cgroups(self)
        real = cgroups.make('agent')
        node = self.started_node([entry('/agent', f'unix:uid:{UID}', cgroups.selector(real))])
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=real), ['spiffe://example.org/agent'])
        inner = f'nested{cgroups.path(real)}'  # ends with the whole registered path
        for name in ('agent-2', 'agen', 'agent/child', inner):
            node.refused(uid=UID, cgroup=cgroups.make(name))

    @needs_root('cgroups are made')
    def test_a_cgroup_that_the_caller_may_write_earns_nothing(self):
        cgroups = Cgroups(self)
        delegated = cgroups.make('agent')
        node = self.started_node([entry('/agent', f'unix:uid:{UID}', cgroups.selector(delegated))])
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=delegated), ['spiffe://example.org/agent'])
        for path in (delegated, delegated / 'cgroup.procs'):
            os.chown(path, UID, UID)
        node.refused(uid=UID, cgroup=delegated)

    @needs_root('cgroups are made')
    def test_the_same_path_in_another_hierarchy_earns_nothing(self):
        unified, old = Cgroups(self, version=2), Cgroups(self, version=1)
        same = old.mount / unified.top.relative_to(unified.mount)
        same.mkdir()
        self.addCleanup(remove, same)
        node = self.started_node([entry('/agent', f'unix:uid:{UID}', f'process:cgroup:{unified.path(unified.top)}')])
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=unified.top), ['spiffe://example.org/agent'])
        node.refused(uid=UID, cgroup=same)


class PidfdFallbackTest(HostileTest):
    def test_without_peer_pidfds_it_serves_and_health_says_what_is_weaker(self):
        node = self.node([entry('/me', ME)])
        node.preload = preloadable(node, 'no_peerpidfd')
        node.start()
        self.serves(node)
        self.assertIn('pidfd', node.cli('health').stdout.lower())
        node.stop()
        node.preload = None
        node.start()
        self.assertNotIn('pidfd', node.cli('health').stdout.lower())
