"""The disk is full, read-only or gone while the agent runs. Open streams go on, nobody new gets what cannot be recorded."""

import os
import re
import shutil
import time

from disks import FailingDisk, SmallDisk
from kills import Crowd
from node import EXIT_FAILED, EXIT_OK, OTHER_UID, UID, NodeTest, entry, eventually, needs_root
from records import Records

ME = f'unix:uid:{os.geteuid()}'
TTL = '6s'  # renewed after about half of that
MEBIBYTES = 12  # five of them are kept in reserve by the agent
UNAVAILABLE = 14
MANY = 400  # identities of one workload, more than the pages that the database has anyway
NEWCOMERS = [entry(f'/two-{number}', f'unix:uid:{OTHER_UID}') for number in range(MANY)]
ENTRIES = [entry('/me', ME), entry('/one', f'unix:uid:{UID}'), *NEWCOMERS]


class DiskTest(NodeTest):
    def node_on(self, data=False, audit=False):
        """A node whose data directory is a small disk, or whose audit log is on one, or both on the same."""
        node = self.node(ENTRIES)
        disk = SmallDisk(self, node.data if data else node.dir / 'small', MEBIBYTES)
        log = (node.data if data else disk.path) / 'audit/audit.jsonl' if audit else node.dir / 'audit/audit.jsonl'
        log.parent.mkdir(mode=0o700, exist_ok=True)
        node.write_config(TTL, [('audit', {'path': str(log)})])
        return node, disk, Records(node, log)

    def started(self, node):
        node.start()
        crowd = Crowd(node, [None, UID])
        eventually(lambda: crowd.read() >= 2, 10, 'that both workloads are served')
        return crowd

    def health(self, node):
        done = node.cli('health')
        return done.returncode, done.stdout

    def is_unwell(self, node, *patterns):
        """Within seconds `lanyard health` fails and says all of this."""
        def said():
            code, text = self.health(node)
            return code == EXIT_FAILED and all(re.search(pattern, text) for pattern in patterns) and text
        # And does not take it back. What fits into the last page of a file still may be written in between.
        return eventually(lambda: all(said() for _ in range(10)) and said(), 10, f'health that says {patterns}')

    def gets_well(self, node, seconds=20):
        begin = time.monotonic()
        eventually(lambda: self.health(node)[0] == EXIT_OK and 'degraded' not in self.health(node)[1], seconds,
                   'that health is good again')
        return time.monotonic() - begin

    def newcomer_is_refused(self, node):
        """A workload that has nothing yet: told that the agent cannot answer, not that it may not."""
        def refused():
            done = node.cli('fetch', 'x509', '--output', 'json', uid=OTHER_UID)
            self.assertIn(done.returncode, (EXIT_OK, EXIT_FAILED), done.stderr)
            return done.returncode == EXIT_FAILED and done
        done = eventually(refused, 10, 'that a new workload is refused')
        self.assertEqual(done.stdout, '')
        self.assertIn('cannot answer now', done.stderr)
        newcomer = Crowd(node, [OTHER_UID])
        eventually(lambda: newcomer.read() or newcomer.statuses, 10, 'an answer to a new workload')
        self.assertEqual(newcomer.statuses, {UNAVAILABLE})
        newcomer.stop()
        return done.stderr

    def renewals_go_on(self, node, crowd, times=2):
        """So often, for each workload, without a stream that ends."""
        before = {key: svid['chain'] for key, svid in crowd.newest.items()}
        for _ in range(times):
            seen = dict(before)

            def renewed():
                crowd.read()
                return all(crowd.newest[key]['chain'] != chain for key, chain in seen.items())
            eventually(renewed, 10, 'that every SVID is renewed')
            before = {key: svid['chain'] for key, svid in crowd.newest.items()}
        for svid in crowd.newest.values():
            self.assertGreater(svid['not_after'], time.time())
        self.assertEqual(crowd.statuses, set())
        self.assertIsNone(node.process.poll())

    def all_is_recorded(self, node, crowd, records):
        self.assertEqual(node.stop(), 0)
        lines = records.check()
        crowd.check_on_record(self, records, lines)
        self.assertEqual(records.aside(), [])
        return lines


class FullDiskTest(DiskTest):
    def fills_up_and_empties(self, node, disk, records):
        crowd = self.started(node)
        disk.fill()
        said = self.newcomer_is_refused(node)
        text = self.is_unwell(node, r'full|No space left', str(disk.path), r'to do: .*room|free space')
        print(f'a new workload is told: {said}health: {text}')
        self.renewals_go_on(node, crowd)
        rotated = node.cli('ca', 'rotate')  # done in the space that the agent had in reserve, or refused with the reason
        if rotated.returncode != EXIT_OK:
            self.assertIn('No space left', rotated.stderr)
        self.renewals_go_on(node, crowd, times=1)
        self.is_unwell(node, str(disk.path))
        disk.make_room()
        print(f'well again {self.gets_well(node):.1f} s after room was made; ca rotate: {rotated.returncode}')
        self.assertEqual(len(node.fetch_ids(uid=OTHER_UID)), MANY)
        if rotated.returncode != EXIT_OK:
            self.assertEqual(node.cli('ca', 'rotate').returncode, EXIT_OK)
        self.renewals_go_on(node, crowd, times=1)
        lines = self.all_is_recorded(node, crowd, records)
        print(f'{len(crowd.serials)} serials, all on record; {len(lines)} lines')

    @needs_root('a file system is mounted')
    def test_on_a_full_disk_renewals_go_on_new_workloads_are_refused_and_room_heals(self):
        self.fills_up_and_empties(*self.node_on(data=True, audit=True))

    @needs_root('a file system is mounted')
    def test_with_a_full_disk_under_the_audit_log_alone_it_is_the_same(self):
        self.fills_up_and_empties(*self.node_on(audit=True))

    @needs_root('a file system is mounted')
    def test_with_a_full_disk_under_the_state_alone_it_is_the_same(self):
        self.fills_up_and_empties(*self.node_on(data=True))

    @needs_root('a file system is mounted')
    def test_killed_on_a_full_disk_it_starts_there_or_says_why_not_and_is_whole_with_room(self):
        node, disk, records = self.node_on(data=True, audit=True)
        crowd = self.started(node)
        written = dict(crowd.serials)
        disk.fill()
        self.newcomer_is_refused(node)
        node.kill()
        disk.fill()  # what was held in reserve, too
        for _ in range(2):
            self.starts_or_says_why_not(node, disk)
        disk.make_room()
        node.start()
        crowd.stop()
        node.fetch()
        self.gets_well(node)
        self.assertEqual(node.stop(), 0)
        records.check()
        self.assertLessEqual(written.items(), records.serials().items())

    @needs_root('a file system is mounted')
    def test_a_first_start_on_a_full_disk_says_why_not_and_works_with_room(self):
        node, disk, records = self.node_on(data=True, audit=True)
        shutil.rmtree(node.data / 'audit')
        disk.fill()
        self.starts_or_says_why_not(node, disk)
        disk.make_room()
        with open(disk.ballast, 'wb') as file:
            file.write(bytes((MEBIBYTES << 20) - (64 << 10)))  # enough for some of its files
        self.starts_or_says_why_not(node, disk)
        disk.make_room()
        node.start()
        self.gets_well(node)
        node.fetch()
        self.assertEqual(node.stop(), 0)
        records.check()

    def starts_or_says_why_not(self, node, disk):
        before = len(node.log_text())
        node.launch()
        eventually(lambda: node.process.poll() is not None or node.cli('health').returncode in (EXIT_OK, EXIT_FAILED), 20,
                   'a start or an end')
        if node.process.poll() is None:
            self.assertRegex(self.health(node)[1], f'{disk.path}.*(full|No space left|are free)')
            node.kill()
            return
        self.assertEqual(node.ended(), EXIT_FAILED)
        said = node.log_text()[before:]
        print(said)
        self.assertIn(str(disk.path), said)
        self.assertRegex(said, 'full|No space left')


class LostDiskTest(DiskTest):
    @needs_root('workloads run as other users')
    def test_a_disk_that_becomes_read_only_is_named_and_all_is_well_when_it_is_writable(self):
        node = self.node(ENTRIES, x509_ttl=TTL)
        disk = FailingDisk(node)
        crowd = self.started(node)
        disk.make_read_only()
        said = self.newcomer_is_refused(node)
        text = self.is_unwell(node, '(?i)read-?only', str(node.data), 'to do: ')
        print(f'a new workload is told: {said}health: {text}')
        self.renewals_go_on(node, crowd)
        rotated = node.cli('ca', 'rotate')
        self.assertNotEqual(rotated.returncode, EXIT_OK)
        self.assertRegex(rotated.stderr, '(?i)read-?only')
        disk.make_writable()
        print(f'well again {self.gets_well(node):.1f} s after it was writable')
        self.assertEqual(len(node.fetch_ids(uid=OTHER_UID)), MANY)
        self.all_is_recorded(node, crowd, Records(node))

    @needs_root('a file system is mounted')
    def test_a_start_on_a_read_only_disk_says_so_and_changes_nothing(self):
        node, disk, records = self.node_on(data=True, audit=True)
        self.started(node)
        node.kill()
        before = self.contents(node.data)
        disk.remount('ro')
        node.launch()
        self.assertEqual(node.ended(), EXIT_FAILED)
        said = node.log_text().splitlines()[-1]
        print(said)
        self.assertIn(str(node.data), said)
        self.assertRegex(said, '(?i)read-?only')
        self.assertEqual(self.contents(node.data), before)
        disk.remount('rw')
        node.start()
        node.fetch()
        self.assertEqual(node.stop(), 0)
        records.check()

    @staticmethod
    def contents(directory):
        return {path: path.read_bytes() for path in directory.rglob('*') if path.is_file()}

    @needs_root('workloads run as other users')
    def test_a_data_directory_that_is_moved_away_is_named_and_moved_back_all_is_well(self):
        node = self.node(ENTRIES, x509_ttl=TTL)
        crowd = self.started(node)
        away = node.dir / 'away'
        node.data.rename(away)
        said = self.newcomer_is_refused(node)
        text = self.is_unwell(node, str(node.data), 'to do: ')
        print(f'a new workload is told: {said}health: {text}')
        self.renewals_go_on(node, crowd)
        self.assertNotEqual(node.cli('ca', 'rotate').returncode, EXIT_OK)
        self.assertFalse(node.data.exists(), 'something was written into nowhere')
        away.rename(node.data)
        print(f'well again {self.gets_well(node):.1f} s after it was back')
        self.assertEqual(len(node.fetch_ids(uid=OTHER_UID)), MANY)
        self.all_is_recorded(node, crowd, Records(node))

    @needs_root('workloads run as other users')
    def test_a_data_directory_that_is_removed_is_named_with_the_remedy_and_the_remedy_works(self):
        node = self.node(ENTRIES, x509_ttl=TTL)
        crowd = self.started(node)
        shutil.copytree(node.data, node.dir / 'backup')
        shutil.rmtree(node.data)
        self.newcomer_is_refused(node)
        text = self.is_unwell(node, str(node.data), 'to do: ', 'restart|put it back')
        print(f'health: {text}')
        self.renewals_go_on(node, crowd)
        crowd.stop()
        node.stop(20)
        shutil.rmtree(node.data, ignore_errors=True)
        shutil.copytree(node.dir / 'backup', node.data)
        node.start()
        self.assertTrue(node.fetch_ids())
        self.gets_well(node)
        self.assertEqual(node.stop(), 0)
        Records(node).check()
