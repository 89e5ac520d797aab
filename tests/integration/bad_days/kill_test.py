"""The agent is killed while it works, at random and at each step of what it writes. Nothing that anybody got is forgotten."""

import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time

from kills import FULL, Crowd, Steps, moments, sample
from node import EXIT_OK, OTHER_UID, UID, NodeTest, entry, eventually, needs_root
from process import scaled
from records import Records, leaf_of, pem

ME = f'unix:uid:{os.geteuid()}'
PERMISSION_DENIED = 7
ROTATE_AT = 64 << 10  # the least there is
SETTINGS = [('audit', {'rotate_at': '64KiB', 'keep_files': 0})]
ENTRIES = [entry('/me', ME), entry('/me-too', ME), entry('/one', f'unix:uid:{UID}'), entry('/two', f'unix:uid:{OTHER_UID}')]


class KillTest(NodeTest):
    def active_root(self, node):
        done = node.cli('ca', 'show', '--output', 'json')
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        [active] = [root['id'] for root in json.loads(done.stdout)['authorities'] if (root['kind'], root['phase']) == ('x509', 'active')]
        return active

    def old_ones_verify(self, node, crowd):
        """`openssl verify -CAfile BUNDLE LEAF`: what was handed out before the kill is still good where it has not ended."""
        bundle = node.cli('fetch', 'bundle').stdout
        with tempfile.TemporaryDirectory() as directory:
            roots, leaf = pathlib.Path(directory, 'roots'), pathlib.Path(directory, 'leaf')
            roots.write_text(bundle, encoding='ascii')
            for svid in list(crowd.newest.values())[-3:]:
                leaf.write_text(pem(leaf_of(svid)), encoding='ascii')
                at = str(min(int(time.time()), svid['not_after'] - 1))
                if svid['not_after'] < time.time() + 0.5:
                    continue  # its root may have left the bundle
                done = subprocess.run(['openssl', 'verify', '-attime', at, '-CAfile', roots, leaf], capture_output=True, text=True,
                                      check=False)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def nothing_was_taken_for_damage(self, records):
        self.assertEqual([str(path) for path in records.aside() if '.torn-' not in path.name], [])


class RandomKillTest(KillTest):
    @needs_root('workloads run as other users')
    def test_killed_at_random_moments_it_forgets_nothing_that_anybody_got(self):
        kills, seed = (200, random.SystemRandom().randrange(1 << 32)) if FULL else (20, 20260101)
        seed = int(os.environ.get('LANYARD_SEED', seed))
        print(f'{kills} kills, LANYARD_SEED={seed}')
        chance = random.Random(seed)
        node = self.node(ENTRIES, x509_ttl='5s', config=SETTINGS).start()
        records, crowd = Records(node), Crowd(node, [None, None, UID, UID, OTHER_UID, None])
        root, slowest, done = self.active_root(node), 0, []
        for number in range(kills):
            rotated = self.disturb(node, chance, number, done)
            node.kill()
            lines = records.check(torn_end=True)
            crowd.check_on_record(self, records, lines)
            begin = time.monotonic()
            node.start()
            node.fetch()
            slowest = max(slowest, time.monotonic() - begin)
            before, root = root, self.active_root(node)
            if rotated is None:
                self.assertEqual(root, before, 'the authority is another one')
            elif rotated:
                self.assertNotEqual(root, before, 'a rotation that was answered is forgotten')
            self.old_ones_verify(node, crowd)
        served = crowd.read()
        eventually(lambda: crowd.read() >= served + len(crowd.clients), 10, 'that all are served after the last kill')
        self.assertEqual(node.stop(), 0)
        crowd.check_on_record(self, records, records.check())
        self.nothing_was_taken_for_damage(records)
        self.assertGreater(len(records.files()), 1, 'the log was never rotated')
        self.assertNotIn(PERMISSION_DENIED, crowd.statuses)
        print(f'{crowd.messages} messages with {len(crowd.serials)} serials, {len(records.chain())} lines in {len(records.files())} '
              f'files; serving again after at most {slowest:.2f} s; meanwhile: {done}')
        self.assertLess(slowest, scaled(5))

    def disturb(self, node, chance, number, done):
        """Lets it work for a moment, with something going on or not. Whether a rotation was done; None: none was begun."""
        end = time.monotonic() + chance.uniform(0.02, 0.8)
        what = chance.choice(['nothing', 'rotate', 'reload', 'registry', 'fetches'])
        done.append(what)
        time.sleep(chance.uniform(0, 0.3))
        rotation = None
        if what == 'rotate':
            rotation = subprocess.Popen([node.binary, 'ca', 'rotate'], env=node.client_environment(), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
            self.addCleanup(rotation.wait)
        elif what == 'reload':
            node.hang_up()
        elif what == 'registry':
            node.register([*ENTRIES, entry(f'/new-{number}', ME), entry(f'/other-{number}', f'unix:uid:{UID}')])
        elif what == 'fetches':
            while time.monotonic() < end:
                node.fetch()
        time.sleep(max(0, end - time.monotonic()))
        if rotation is None:
            return None
        code = rotation.poll()
        return None if code not in (None, 0) else code == 0  # without an answer by now either root may sign


class StepKillTest(KillTest):
    """Each test records the steps of one operation and then kills at each of them, a step's own subtest."""

    def setUp(self):
        self.reached, self.missed, self.seconds = 0, [], time.monotonic()

    def stepped_node(self, ttl='1h'):
        node = self.node(ENTRIES, x509_ttl=ttl, config=SETTINGS)
        return node, Steps(node), Records(node)

    def report(self, names):
        print(f'{len(names)} steps: {names}\n{self.reached} kills, {time.monotonic() - self.seconds:.1f} s; '
              f'not reached this time: {self.missed}')
        # How many records share a write varies with the load, and so does how many of the later steps there are.
        self.assertGreaterEqual(self.reached, len(self.missed), 'most steps were not reached')

    def dies(self, node, seconds, step):
        """Waits until the agent has killed itself; one that does not come by this step goes on to the end and is killed."""
        deadline = time.monotonic() + scaled(seconds)
        while node.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if node.process.poll() is None:
            self.missed.append(step)
        elif node.process.returncode == -9:
            self.reached += 1
        node.kill()

    def at_each_step(self, every, operate, ready=lambda crowd: None, ttl='1h', snapshot=None, rotates=False, seconds=1,
                     last=None):
        """`operate(node, crowd)` is begun in a running agent, which ends at the step; it starts again, and all is there. Only
        the steps until a few after `last`, where more of the same follow."""
        node, steps, records = self.stepped_node(ttl)
        if snapshot:
            snapshot(node)
            shutil.copytree(node.data, node.dir / 'snapshot')

        def run(step):
            if snapshot:
                shutil.rmtree(node.data)
                shutil.copytree(node.dir / 'snapshot', node.data)
            steps.prepare(step)
            node.start()
            root = self.active_root(node)
            crowd = Crowd(node, [])
            ready(crowd)
            steps.arm()
            operate(node, crowd)
            return root, crowd

        _, crowd = run(None)
        eventually(lambda: self.settled(steps), 10, 'that no more steps come')
        names = steps.names()
        if last:
            del names[names.index(last) + 8:]
        steps.disarm()
        crowd.stop()
        self.assertEqual(node.stop(), 0)
        for step in sample(every, moments(names)):
            with self.subTest(step):
                root, crowd = run(step)
                self.dies(node, seconds, step)
                steps.disarm()
                crowd.stop()
                crowd.check_on_record(self, records, records.check(torn_end=True))
                node.start()
                node.fetch()
                if not rotates:
                    self.assertEqual(self.active_root(node), root, 'the authority is another one')
                self.old_ones_verify(node, crowd)
                self.assertEqual(node.stop(), 0)
                crowd.check_on_record(self, records, records.check())
                self.nothing_was_taken_for_damage(records)
        self.report(names)

    @staticmethod
    def settled(steps):
        before = steps.log.stat().st_size if steps.log.exists() else 0
        time.sleep(0.3)
        return before and steps.log.stat().st_size == before

    @needs_root('the agent hides its descriptors from its own user')
    def test_killed_at_each_step_of_issuing(self):
        self.at_each_step(10, lambda node, crowd: crowd.join([None, UID]))

    @needs_root('the agent hides its descriptors from its own user')
    def test_killed_at_each_step_of_renewing(self):
        def served(crowd):
            crowd.join([UID])
            eventually(crowd.read, 10, 'the first SVID')
        self.at_each_step(7, self.until_renewed, served, ttl='5s', seconds=5)

    def until_renewed(self, node, crowd):
        before = crowd.read()
        eventually(lambda: crowd.read() > before or node.process.poll() is not None, 10, 'a renewal, or the end')

    @needs_root('the agent hides its descriptors from its own user')
    def test_killed_at_each_step_of_a_reload(self):
        def reload(node, crowd):
            node.register([*ENTRIES, entry(f'/new-{time.monotonic_ns()}', ME)])
            node.hang_up()

        def served(crowd):
            crowd.join([None])
            eventually(crowd.read, 10, 'the first SVID')
        self.at_each_step(8, reload, served)

    @needs_root('the agent hides its descriptors from its own user')
    def test_killed_at_each_step_of_rotating_the_authority(self):
        def served(crowd):
            crowd.join([None, UID])
            eventually(lambda: crowd.read() >= 2, 10, 'the first SVIDs')
        self.at_each_step(7, lambda node, crowd: node.cli('ca', 'rotate'), served, rotates=True)

    @needs_root('the agent hides its descriptors from its own user')
    def test_killed_at_each_step_of_rotating_the_audit_log(self):
        def nearly_full(node):
            node.start()
            while (node.data / 'audit/audit.jsonl').stat().st_size < ROTATE_AT - 6000:
                node.fetch()
            self.assertEqual(node.stop(), 0)

        def fetches(node, crowd):
            for _ in range(4):
                if node.cli('fetch', 'x509').returncode != EXIT_OK and node.process.poll() is not None:
                    return
            self.assertGreater(len(Records(node).files()), 1, 'the log was not rotated')
        self.at_each_step(6, fetches, snapshot=nearly_full, last='open:audit/audit.jsonl:1')

    @needs_root('the agent hides its descriptors from its own user')
    def test_killed_at_each_step_of_a_clean_stop(self):
        def served(crowd):
            crowd.join([None, UID])
            eventually(lambda: crowd.read() >= 2, 10, 'the first SVIDs')

        node, steps, records = self.stepped_node()
        self.at_each_start(node, steps, records, 7, lambda: None, lambda: served, stops=True)

    @needs_root('the agent hides its descriptors from its own user')
    def test_killed_at_each_step_of_the_first_start(self):
        node, steps, records = self.stepped_node()

        def empty():
            shutil.rmtree(node.data, ignore_errors=True)
        self.at_each_start(node, steps, records, 20, empty, None)

    @needs_root('the agent hides its descriptors from its own user')
    def test_killed_at_each_step_of_a_migration(self):
        node, steps, records = self.stepped_node()
        node.start()
        node.fetch()
        node.stop()
        kept = {(1 << 120) + number: f'spiffe://example.org/old-{number}' for number in range(300)}
        older = node.dir / 'older'
        shutil.copytree(node.data, older)
        self.make_schema_1(older / 'state.db', kept)
        root = next((node.data / 'ca').glob('*.pem')).stem

        def as_it_was():
            shutil.rmtree(node.data)
            shutil.copytree(older, node.data)

        def all_kept():
            state = records.serials()
            self.assertLessEqual(kept.items(), state.items(), 'serials are lost')
            self.assertTrue((node.data / 'ca' / f'{root}.pem').exists())
            with sqlite3.connect(f'file:{node.data}/state.db.v1.backup?mode=ro', uri=True) as backup:
                self.assertEqual(backup.execute('PRAGMA user_version').fetchone(), (1,))
                self.assertEqual(backup.execute('SELECT count(*) FROM issued').fetchone(), (len(kept),))
        self.at_each_start(node, steps, records, 16, as_it_was, None, all_kept)

    def make_schema_1(self, path, kept):
        """As the first release left it: the rows, and no table for the audit head. Made by the sqlite3 program."""
        path.unlink()
        rows = '\n'.join(f"INSERT INTO issued VALUES ('{'ab' * 20}', '{serial:032x}', '{spiffe_id}', 4102444800);"
                         for serial, spiffe_id in kept.items())
        script = ('PRAGMA application_id = 0x4c4e5944; PRAGMA journal_mode = WAL; PRAGMA user_version = 1;\n'
                  'CREATE TABLE issued (authority TEXT NOT NULL, serial TEXT NOT NULL, spiffe_id TEXT NOT NULL, not_after INTEGER '
                  'NOT NULL, PRIMARY KEY (authority, serial)) STRICT, WITHOUT ROWID;\n'
                  f'CREATE INDEX issued_by_end ON issued (not_after);\nBEGIN;\n{rows}\nCOMMIT;\n')
        subprocess.run(['sqlite3', path], input=script, text=True, check=True, capture_output=True)
        path.chmod(0o600)

    def at_each_start(self, node, steps, records, every, before, ready, after=lambda: None, stops=False):
        """The agent ends at a step of its start, or of its end; the next start is well, and all is there."""
        def run(step):
            before()
            steps.prepare(step)
            crowd = Crowd(node, [])
            if not stops:
                steps.arm()
                node.launch()
                eventually(lambda: node.process.poll() is not None or (node.admin_socket.is_socket() and
                                                                       node.cli('health').returncode == EXIT_OK), 10, 'start or end')
                return crowd
            node.start()
            ready()(crowd)
            steps.arm()
            node.process.terminate()
            node.process.wait(scaled(10))
            return crowd

        run(None).stop()
        if not stops:
            eventually(lambda: self.settled(steps), 10, 'that no more steps come')
        names = steps.names()
        steps.disarm()
        if not stops:
            node.stop()
        for step in sample(every, moments(names)):
            with self.subTest(step):
                for path in (node.socket, node.admin_socket):
                    path.unlink(missing_ok=True)
                crowd = run(step)
                self.dies(node, 0.2, step)
                steps.disarm()
                crowd.stop()
                if stops:
                    crowd.check_on_record(self, records, records.check(torn_end=True))
                node.start()
                svids = node.fetch()['svids']
                self.assertEqual(node.stop(), 0)
                lines = records.check()
                self.assertIn(int(svids[0]['serial'], 16), records.serials())
                crowd.check_on_record(self, records, lines)
                self.nothing_was_taken_for_damage(records)
                after()
                left = [path.name for path in node.data.rglob('*') if path.name.endswith(('.tmp', '.new', '-journal'))]
                self.assertEqual(left, [], 'what the kill left was not cleared away')
        self.report(names)
