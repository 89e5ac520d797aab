"""What those who watch the agent see: metrics, readiness over HTTP and gRPC, and what it tells the service manager."""

import os
import pathlib
import re
import signal
import socket
import time

from grpcurl import GRPCURL
from node import EXIT_FAILED, EXIT_OK, ROOT, NodeTest, entry, eventually, needs_root
from process import scaled
from programs import stream_program
from service_manager import NotifySocket, launch_with, listening
from web import endpoints_of

ME = f'unix:uid:{os.geteuid()}'
# Any free ports. Equal addresses would be one endpoint.
ANYWHERE = {'endpoints': {'metrics': '127.0.0.1:0', 'health': '127.0.0.2:0'}}


def documented():
    """Type and labels of each metric in docs/METRICS.md."""
    table = {}
    for line in (ROOT / 'docs/METRICS.md').read_text(encoding='utf-8').splitlines():
        row = re.match(r'\| `(\w+)` \| (\w+) \| ([^|]*)\|', line)
        if row:
            table[row[1]] = (row[2], set(re.findall(r'\w+', re.sub(r'\([^)]*\)', '', row[3]))))
    return table


class ObserveTest(NodeTest):
    def observed(self, entries=None, config=None, **options):
        node = self.started_node(entries or [entry('/me', ME)], config=config or ANYWHERE, **options)
        return node, endpoints_of(node)


class MetricsTest(ObserveTest):
    def test_the_page_is_as_prometheus_wants_it_and_as_the_document_has_it(self):
        node, endpoints = self.observed()
        stream = node.start_lines([*stream_program(node), 'follow', node.socket])
        stream.json()
        eventually(lambda: endpoints['metrics'].metrics().value('lanyard_loop_delay_seconds_count') > 0, 10, 'a look at the loop')
        page, table = endpoints['metrics'].metrics(), documented()
        self.assertGreater(len(table), 30)
        self.assertEqual(set(page.types) - set(table), set(), 'not in docs/METRICS.md')
        # Nothing was signed into a checkpoint yet.
        self.assertLessEqual(set(table) - set(page.types), {'lanyard_audit_last_checkpoint_timestamp_seconds'})
        for name, kind in page.types.items():
            self.assertEqual((kind, page.labels[name]), table[name], name)

    def test_nobody_s_identity_pid_or_path_is_on_the_page(self):
        node, endpoints = self.observed([entry('/very-secret-name', ME)])
        stream = node.start_lines([*stream_program(node), 'follow', node.socket])
        stream.json()
        node.register('entries:\n  - spiffe_id: spiffe://example.org/me\n    selectors: [no-colon]\n')
        eventually(lambda: endpoints['metrics'].metrics().value('lanyard_registry_problems') > 0, 10, 'a problem')
        text = endpoints['metrics'].metrics().text
        for secret in ('spiffe:', 'very-secret-name', str(stream.pid), str(node.dir), 'entries.yaml'):
            self.assertNotIn(secret, text)

    def test_counters_count_what_happens(self):
        node, endpoints = self.observed(x509_ttl='6s')
        watched = ('lanyard_connections_accepted_total', 'lanyard_calls_total')

        def look():
            page = endpoints['metrics'].metrics()
            return {'new': page.value('lanyard_svid_issuances_total', kind='x509', cause='new', outcome='ok'),
                    'renewed': page.value('lanyard_svid_issuances_total', kind='x509', cause='renewal', outcome='ok'),
                    'denied': page.value('lanyard_denials_total'), 'failed loads': page.value('lanyard_registry_failed_loads_total'),
                    'problems': page.value('lanyard_registry_problems'), 'entries': page.value('lanyard_registry_entries'),
                    'commits': page.value('lanyard_state_commits_total', outcome='ok'),
                    'records': page.value('lanyard_audit_records_total'),
                    'streams': page.value('lanyard_update_subscriptions'),
                    **{name: page.value(name, socket='workload') for name in watched}}
        first = look()
        self.assertEqual((first['new'], first['denied'], first['entries'], first['streams']), (0, 0, 1, 0))
        stream = node.start_lines([*stream_program(node), 'follow', node.socket])
        stream.json()
        fetched = look()
        self.assertEqual((fetched['new'], fetched['streams']), (1, 1))
        for name in (*watched, 'commits', 'records'):
            self.assertGreater(fetched[name], first[name], name)
        stream.json()
        self.assertGreaterEqual(look()['renewed'], 1)
        node.register('entries: [{]')
        eventually(lambda: look()['failed loads'] > 0 and look()['problems'] > 0, 10, 'a failed load')
        node.register([entry('/other', 'unix:uid:4242'), entry('/another', 'unix:uid:4243')])
        eventually(lambda: look()['entries'] == 2, 10, 'the new registry')
        node.refused()
        last = look()
        self.assertEqual((last['entries'], last['problems']), (2, 0))
        self.assertGreaterEqual(last['denied'], 2, 'the stream that lost its identity, and the fetch')
        eventually(lambda: look()['streams'] == 0, 10, 'the end of the stream')

    def test_head_is_answered_and_what_is_no_question_is_refused(self):
        _, endpoints = self.observed()
        metrics, health = endpoints['metrics'], endpoints['health']
        self.assertEqual(metrics.ask('/metrics', 'HEAD')[::2], (200, ''))
        for method in ('POST', 'PUT', 'DELETE'):
            self.assertIn(metrics.ask('/metrics', method, body='x')[0], (400, 404, 405, 501), method)
            self.assertIn(health.ask('/ready', method)[0], (400, 404, 405, 501), method)
        for path in ('/', '/metrics/', '/../metrics', '/ready'):
            self.assertEqual(metrics.ask(path)[0], 404, path)
        self.assertEqual(health.ask('/metrics')[0], 404, 'each has its own')


class EndpointTest(ObserveTest):
    def tcp_listeners(self, node):
        """Addresses on which the agent listens, from the kernel. Only root may look at its descriptors."""
        mine = set()
        for fd in pathlib.Path(f'/proc/{node.process.pid}/fd').iterdir():
            try:
                mine.add(os.readlink(fd))
            except FileNotFoundError:  # closed meanwhile
                pass
        found = []
        for table in ('/proc/net/tcp', '/proc/net/tcp6'):
            for line in pathlib.Path(table).read_text(encoding='ascii').splitlines()[1:]:
                words = line.split()
                if words[3] == '0A' and f'socket:[{words[9]}]' in mine:
                    found.append(words[1])
        return found

    @needs_root('to look at the sockets of the agent')
    def test_an_empty_address_turns_an_endpoint_off(self):
        node = self.started_node([entry('/me', ME)])
        self.assertEqual(self.tcp_listeners(node), [])
        node.fetch()

    @needs_root('to look at the sockets of the agent')
    def test_both_may_have_the_same_address(self):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            address = f'127.0.0.1:{free.getsockname()[1]}'
        node, endpoints = self.observed(config={'endpoints': {'metrics': address, 'health': address}})
        self.assertEqual(len(self.tcp_listeners(node)), 1)
        self.assertEqual({one.address for one in endpoints.values()}, {address})
        endpoints['metrics'].metrics()
        for path in ('/live', '/ready'):
            self.assertEqual(endpoints['metrics'].ask(path)[0], 200, path)

    def test_a_port_that_is_taken_ends_the_start_and_is_named(self):
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            address = f'127.0.0.1:{taken.getsockname()[1]}'
            for name in ('metrics', 'health'):
                node = self.node([entry('/me', ME)], config={'endpoints': {'metrics': '', 'health': '', name: address}}).launch()
                self.assertEqual(node.ended(), EXIT_FAILED)
                self.assertRegex(node.log_text(), rf'cannot start: endpoints\.{name}: .*{re.escape(address)}')
                self.assertFalse(node.socket.exists(), 'workloads are not let in before all else is there')

    def test_slow_and_silent_clients_hold_nobody_up(self):
        node, endpoints = self.observed()
        slow = []
        for number in range(200):  # more than there are places
            client = socket.create_connection((endpoints['health'].host, endpoints['health'].port), timeout=5)
            self.addCleanup(client.close)
            slow.append(client)
            if number % 2:
                client.sendall(b'GET /ready HTTP/1.1\r\nHost: ')
        begin = time.monotonic()
        self.assertEqual(endpoints['health'].ask('/ready')[0], 200)
        endpoints['metrics'].metrics()
        node.fetch()
        self.assertLess(time.monotonic() - begin, scaled(1))


class ReadinessTest(ObserveTest):
    def lose_the_data(self, node, away):
        """The directory of the records is taken away, and somebody asks: only who wants to write finds out."""
        node.data.rename(away)
        eventually(lambda: node.cli('health').returncode == EXIT_FAILED, 10, 'a health that fails')

    def test_live_and_ready_say_so(self):
        _, endpoints = self.observed()
        self.assertEqual(endpoints['health'].ask('/live')[0], 200)
        status, ready = endpoints['health'].json('/ready')
        self.assertEqual((status, ready['ready']), (200, True))
        self.assertEqual(set(ready['components']), {'registry', 'ca', 'state', 'audit'})
        for name, component in ready['components'].items():
            self.assertTrue(component['ok'], name)
        self.assertGreater(ready['components']['ca']['expires_in_seconds'], 0)

    def test_a_broken_registry_is_no_reason_to_be_taken_out_of_service(self):
        node, endpoints = self.observed()
        node.register('entries: [{]')
        ready = eventually(lambda: 'problems' in endpoints['health'].json('/ready')[1]['components']['registry']['text'] and
                           endpoints['health'].json('/ready'), 10, 'the problem in /ready')
        self.assertEqual((ready[0], ready[1]['ready']), (200, True))
        self.assertEqual(node.cli('health').returncode, EXIT_OK)
        self.assertEqual(endpoints['metrics'].metrics().value('lanyard_health_level', component='registry'), 1)

    @needs_root('a directory that the agent has open is moved away')
    def test_without_its_data_directory_the_agent_is_not_ready_and_is_again_when_it_comes_back(self):
        node = self.node([entry('/me', ME), entry('/later', 'unix:uid:4242')], config=ANYWHERE)
        said = NotifySocket(node)
        node.start()
        said.until('READY=1')
        endpoints, away = endpoints_of(node), node.dir / 'away'
        self.lose_the_data(node, away)
        status, ready = endpoints['health'].json('/ready')
        self.assertEqual((status, ready['ready']), (503, False))
        broken = [name for name, component in ready['components'].items() if not component['ok']]
        self.assertIn('audit', broken)
        self.assertIn(str(node.data), ready['components']['audit']['text'])
        self.assertEqual(endpoints['health'].ask('/live')[0], 200, 'a restart would not help')
        page = endpoints['metrics'].metrics()
        self.assertEqual((page.value('lanyard_ready'), page.value('lanyard_health_level', component='audit')), (0, 2))
        line, _ = said.until('STATUS=not ready: .*')
        self.assertRegex(line, 'audit|state', 'what was found out first')
        self.assertNotEqual(node.cli('fetch', 'x509', '--timeout', '2s').returncode, EXIT_OK, 'nothing without a record')
        away.rename(node.data)
        said.until('STATUS=ready', 8)  # nobody asks it for anything meanwhile
        self.assertEqual(endpoints['health'].json('/ready')[0], 200)
        self.assertNotEqual(node.cli('health').returncode, EXIT_FAILED)
        self.assertEqual(endpoints['metrics'].metrics().value('lanyard_ready'), 1)
        node.fetch()

    @needs_root('a directory that the agent has open is moved away')
    def test_who_watches_over_grpc_is_told_not_serving_and_serving_again(self):
        if not GRPCURL.exists():
            self.skipTest('grpcurl is not there; tests/peers.sh makes it')
        node = self.started_node([entry('/me', ME)])
        watch = node.start_lines([GRPCURL, '-plaintext', '-max-time', '60', '-d', '{"service": "SpiffeWorkloadAPI"}',
                                  f'unix://{node.socket}', 'grpc.health.v1.Health/Watch'])

        def told():
            while True:
                status = re.search(r'"status": "(\w+)"', watch.line(15))
                if status:
                    return status[1]
        self.assertEqual(told(), 'SERVING')
        self.lose_the_data(node, node.dir / 'away')
        self.assertEqual(told(), 'NOT_SERVING')
        (node.dir / 'away').rename(node.data)
        self.assertEqual(told(), 'SERVING')


class ServiceManagerTest(ObserveTest):
    def watched(self, **environment):
        node = self.node([entry('/me', ME)], environment=environment)
        return node, NotifySocket(node)

    def test_it_says_ready_reloading_and_stopping_in_that_order(self):
        node, said = self.watched()
        node.launch()
        self.assertEqual(said.next(20), ['READY=1', 'STATUS=ready'])
        node.fetch()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        node.hang_up()
        reloading = dict(line.split('=', 1) for line in said.next())
        self.assertEqual(reloading['RELOADING'], '1')
        self.assertGreaterEqual(int(reloading['MONOTONIC_USEC']), before, 'systemd takes an older one for an earlier reload')
        self.assertEqual(said.next()[0], 'READY=1')
        node.config.write_text('no: config', encoding='utf-8')
        node.hang_up()
        self.assertEqual(said.next()[0], 'RELOADING=1')
        self.assertEqual(said.next()[0], 'READY=1', 'a reload that was refused is over, too')
        self.assertEqual(node.stop(), 0)
        self.assertEqual(said.next(), ['STOPPING=1'])

    def test_the_watchdog_is_fed_while_the_loop_runs_and_only_then(self):
        node, said = self.watched(WATCHDOG_USEC=str(int(scaled(0.4) * 1_000_000)))
        node.launch()
        said.until('READY=1', 20)
        said.forget()
        heard = said.heard_for(scaled(1.2))
        self.assertGreaterEqual(heard.count(['WATCHDOG=1']), 3, heard)
        self.assertLessEqual(heard.count(['WATCHDOG=1']), 12, heard)
        node.process.send_signal(signal.SIGSTOP)
        try:
            said.forget()
            self.assertEqual(said.heard_for(scaled(1)), [], 'somebody else feeds it')
        finally:
            node.process.send_signal(signal.SIGCONT)
        said.until('WATCHDOG=1')
        self.assertEqual(node.stop(), 0)

    def test_no_watchdog_no_feeding(self):
        node, said = self.watched()
        node.start()
        self.assertEqual(said.heard_for(1), [['READY=1', 'STATUS=ready']])

    def test_it_serves_the_sockets_that_are_passed_and_leaves_them_there(self):
        node = self.node([entry('/me', ME)])
        workload, admin = listening(self, node.socket), listening(self, node.admin_socket, 0o600)
        node.admin_socket.parent.chmod(0o700)
        launch_with(node, admin=admin, workload=workload)
        node.fetch()
        self.assertIn(node.cli('health').returncode, (EXIT_OK, EXIT_FAILED))
        self.assertEqual(node.stop(), 0)
        self.assertTrue(node.socket.is_socket() and node.admin_socket.is_socket())

    def refused_sockets(self, what, make):
        node = self.node([entry('/me', ME)])
        launch_with(node, **make(node))
        self.assertEqual(node.ended(), EXIT_FAILED)
        self.assertRegex(node.log_text(), rf'cannot start: .*{what}')
        return node

    def test_a_socket_at_another_path_is_refused(self):
        node = self.refused_sockets('ListenStream', lambda node: {'workload': listening(self, node.dir / 'other.sock')})
        self.assertIn(str(node.dir / 'other.sock'), node.log_text())
        self.assertIn(str(node.socket), node.log_text())

    def test_a_socket_that_lets_in_more_than_configured_is_refused(self):
        def make(node):
            node.admin_socket.parent.mkdir(mode=0o700)
            return {'admin': listening(self, node.admin_socket, 0o666)}
        self.refused_sockets('SocketMode=0600', make)

    def test_a_socket_of_an_unknown_name_is_refused(self):
        self.refused_sockets('"wrokload".*FileDescriptorName=workload', lambda node: {'wrokload': listening(self, node.socket)})

    def test_two_sockets_of_one_name_and_a_datagram_socket_are_refused(self):
        self.refused_sockets('two sockets named "workload"', lambda node: {
            'workload': [listening(self, node.socket), listening(self, node.dir / 'second.sock')]})
        self.refused_sockets('no listening Unix stream socket', lambda node: {
            'workload': listening(self, node.socket, kind=socket.SOCK_DGRAM)})
