"""Files of the agent are damaged, cut or lost while it does not run. What starts says so, what refuses names the remedy,
nothing is replaced silently, and the remedy works."""

import os
import pathlib
import re
import shutil

from node import EXIT_FAILED, EXIT_OK, NodeTest, entry
from records import Records, issued

ME = f'unix:uid:{os.geteuid()}'
LOG = 'audit/audit.jsonl'


def flip(at, size):
    """Inverts bytes of a file."""
    def damage(path):
        data = bytearray(path.read_bytes())
        data[at:at + size] = bytes(byte ^ 0xff for byte in data[at:at + size])
        path.write_bytes(data)
    return damage


def cut(size):
    return lambda path: os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def append(data):
    def damage(path):
        with open(path, 'ab') as file:
            file.write(data)
    return damage


def edit(change):
    """Changes the list of the lines of a file."""
    return lambda path: path.write_bytes(b''.join(change(path.read_bytes().splitlines(keepends=True))))


def lie(lines):
    at = len(lines) // 2
    return [*lines[:at], lines[at].replace(b'example.org', b'example.net').replace(b'"allow"', b'"deny"'), *lines[at + 1:]]


class DamageTest(NodeTest):
    """A node that has worked and ended well; each case begins with its files as they were then."""

    def setUp(self):
        self.n = self.node([entry('/me', ME), entry('/also', ME)]).start()
        self.records = Records(self.n)
        for _ in range(3):
            self.n.fetch()
        self.assertEqual(self.n.stop(), 0)
        self.good = self.n.dir / 'good'
        self.serials = self.records.serials()
        shutil.copytree(self.n.data, self.good)

    def damaged(self, pattern, damage):
        """The one file that matches, damaged, among good ones. Returns all files with what is in them."""
        shutil.rmtree(self.n.data)
        shutil.copytree(self.good, self.n.data)
        [path] = self.n.data.glob(pattern)
        damage(path)
        return path, self.contents()

    def contents(self):
        return {path: path.read_bytes() for path in self.n.data.rglob('*') if path.is_file() and path.name != 'lock'}

    def refuses(self, *patterns):
        """The last line of the log of an agent that does not start; it says all of this and has changed nothing."""
        before = self.contents()
        self.n.launch()
        code = self.n.ended()
        said = self.n.log_text().splitlines()[-1]
        print(said)
        self.assertEqual(code, EXIT_FAILED)
        for pattern in patterns:
            self.assertRegex(said, pattern)
        after = self.contents()
        for path, data in before.items():
            self.assertEqual(after.get(path), data, f'{path} was changed')
        return said

    def works(self):
        """Starts, serves, is well, and ends with everything on record."""
        self.n.start()
        self.assertEqual(len(self.n.fetch_ids()), 2)
        health = self.n.cli('health')
        self.assertEqual(health.returncode, EXIT_OK, health.stdout)
        self.assertNotIn('degraded', health.stdout)
        self.assertEqual(self.n.stop(), 0)

    def works_and_says(self, *patterns):
        """Starts and serves, and tells of the damage in `lanyard health`."""
        self.n.start()
        text = self.n.cli('health').stdout
        print(text)
        for pattern in patterns:
            self.assertRegex(text, pattern)
        self.assertEqual(len(self.n.fetch_ids()), 2)
        self.assertEqual(self.n.stop(), 0)
        return text


class DatabaseDamageTest(DamageTest):
    CASES = {
        'a header that is garbage': flip(0, 64),
        'flipped bytes in the first page': flip(110, 64),
        'a page that is garbage': flip(8192, 4096),
        'cut in the middle of a page': cut(6000),
        'cut to whole pages': cut(8192),
        'nothing in it': cut(0),
        'another file': lambda path: path.write_bytes(os.urandom(16384)),
    }

    def test_a_damaged_database_is_refused_and_moved_away_as_told_the_serials_come_back_from_the_audit_log(self):
        for name, damage in self.CASES.items():
            with self.subTest(name):
                path, _ = self.damaged('state.db', damage)
                said = self.refuses(re.escape(str(path)), 'damaged', 'backup', 'move it')
                self.assertIn(f'{path}-wal', said)
                for file in self.n.data.glob('state.db*'):
                    file.rename(self.n.dir / f'{file.name}.old')
                self.works()
                self.assertLessEqual(self.serials.items(), self.records.serials().items())
                self.records.check()

    def test_a_damaged_database_is_replaced_by_a_backup_as_told(self):
        path, _ = self.damaged('state.db', flip(8192, 4096))
        self.refuses('move it, .*-wal and .*-shm away and put a backup in its place')
        for file in self.n.data.glob('state.db*'):
            file.unlink()
        shutil.copy(self.good / 'state.db', path)
        self.works()
        self.assertLessEqual(self.serials.items(), self.records.serials().items())
        self.records.check()

    def test_a_database_that_is_gone_is_made_anew_from_the_audit_log_and_that_is_said(self):
        self.damaged('state.db', pathlib.Path.unlink)
        self.works()
        self.assertLessEqual(self.serials.items(), self.records.serials().items())
        lines = self.records.check()
        self.assertRegex(self.n.log_text(), 'state database was missing or new')
        self.assertTrue([line for line in lines if 'state database' in line.get('reason', '')], 'nothing on record')

    def killed(self):
        """Ends by a kill, so that what was committed last is in the journal alone."""
        shutil.rmtree(self.n.data)
        shutil.copytree(self.good, self.n.data)
        self.n.start()
        svids = self.n.fetch()['svids']
        self.n.kill()
        journal = self.n.data / 'state.db-wal'
        self.assertGreater(journal.stat().st_size, 0)
        return journal, {int(svid['serial'], 16): svid['spiffe_id'] for svid in svids}

    def test_whatever_happens_to_the_journal_after_a_kill_the_serials_come_back_from_the_audit_log(self):
        cases = {'a torn end': cut(-100), 'a frame that is cut off': cut(-5000), 'a changed end': append(b'\xa5' * 5000),
                 'garbage in the middle': flip(5000, 64), 'a header that is garbage': flip(0, 32), 'nothing in it': cut(0),
                 'gone': pathlib.Path.unlink}
        for name, damage in cases.items():
            with self.subTest(name):
                journal, serials = self.killed()
                damage(journal)
                self.works()
                state = self.records.serials()
                self.assertLessEqual({**self.serials, **serials}.items(), state.items())
                self.records.check()


class AuditDamageTest(DamageTest):
    def continues(self, aside, old):
        """The new file continues the chain of the one that was set aside, which holds what was found."""
        self.assertEqual(aside.read_bytes(), old)
        lines = self.good_lines
        seq, hashed = lines[-1]['seq'], self.head[1]
        more = self.records.chain(files=[self.records.audit], begins=(seq, hashed))
        self.assertTrue([line for line in more if line['kind'] == 'audit' and str(aside) in line.get('reason', '')])
        self.records.check_signatures(more)

    def setUp(self):
        super().setUp()
        self.good_lines, self.head = self.records.check(), self.records.head()

    def test_what_is_torn_at_the_end_is_set_aside_on_record_and_the_chain_is_whole(self):
        for name, junk in {'half a line': b'{"seq":', 'a line that is none': b'\0garbage\n', 'much of it': b'x' * 50_000}.items():
            with self.subTest(name):
                self.damaged(LOG, append(junk))
                self.works()
                [aside] = self.records.aside('torn')
                self.assertEqual(aside.read_bytes(), junk)
                lines = self.records.check()
                self.assertTrue([line for line in lines if line.get('resource') == str(aside)])
                self.assertIn(str(aside), self.n.log_text())

    def test_a_log_that_was_tampered_with_is_kept_named_and_continued(self):
        cases = {'a changed line': edit(lie), 'a line taken out': edit(lambda lines: lines[:5] + lines[6:]),
                 'lines cut off': edit(lambda lines: lines[:-3]), 'all cut off': cut(0),
                 'a line put in': edit(lambda lines: lines[:5] + lines[4:]), 'two lines swapped':
                 edit(lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]]), 'the last line changed in its middle':
                 edit(lambda lines: [*lines[:-1], lines[-1].replace(b'"time":"20', b'"time":"21')])}
        for name, damage in cases.items():
            with self.subTest(name):
                path, before = self.damaged(LOG, damage)
                at_the_end = 'last' in name or 'cut off' in name  # leaves no trace in the file alone
                text = self.works_and_says('degraded: audit', 'damaged', 'lanyard audit verify')
                [aside] = self.records.aside('damaged')
                self.assertIn(str(aside), text)
                self.continues(aside, before[path])
                told = self.records.verify(aside)  # as the message says
                if not at_the_end:
                    self.assertEqual(told.returncode, EXIT_FAILED, told.stdout)
                    self.assertIn('NOT intact', told.stdout)
                both = self.records.verify(aside, self.records.audit)
                if name == 'all cut off':
                    self.assertIn(f'begins at seq {self.good_lines[-1]["seq"] + 1}', both.stdout)
                else:
                    self.assertEqual(both.returncode, EXIT_FAILED, 'changed, and the whole log is called intact')

    def test_a_log_that_is_missing_is_named_and_continued(self):
        self.damaged(LOG, pathlib.Path.unlink)
        text = self.works_and_says('degraded: audit', 'missing', re.escape(str(self.records.audit)), 'restore it')
        self.assertIn(f'seq {self.good_lines[-1]["seq"]}', text)
        restored = self.records.audit.parent / 'restored'
        shutil.copy(self.good / LOG, restored)  # as the message says
        done = self.records.verify(restored, self.records.audit)
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        self.records.chain(files=[restored, self.records.audit])

    def test_serials_that_only_a_damaged_log_names_are_not_lost_with_it(self):
        """The state was behind when the agent was killed; what the log says after the damage counts as well."""
        self.damaged(LOG, edit(lie))
        (self.n.data / 'state.db').unlink()
        self.n.start()
        self.n.stop()
        kept = self.records.serials()
        known = issued(self.good_lines)
        self.assertLessEqual(known.keys() & self.serials.keys(), kept.keys())


class KeyDamageTest(DamageTest):
    def test_a_damaged_audit_key_is_refused_and_restored_or_moved_aside_as_told_all_is_well(self):
        for name, damage in {'garbage': lambda path: path.write_text('garbage', encoding='ascii'), 'flipped': flip(100, 20),
                             'cut': cut(100), 'empty': cut(0)}.items():
            with self.subTest(name):
                path, _ = self.damaged('audit.key', damage)
                self.refuses(re.escape(str(path)), 'restore the audit key from a backup', 'move it and its .pub aside')
                shutil.copy(self.good / 'audit.key', path)
                self.works()
                self.records.check()

                path, _ = self.damaged('audit.key', damage)
                old_key = self.n.dir / 'old.pub'
                path.with_suffix('.pub').rename(old_key)
                path.unlink()
                text = self.works_and_says('the audit key is another one')
                self.assertIn('degraded', text)
                lines = self.records.chain()
                self.assertNotEqual(old_key.read_bytes(), self.records.key.read_bytes())
                self.assertTrue([line for line in lines if line.get('action') == 'key'], 'nothing on record')

    def test_a_missing_or_foreign_public_key_is_written_again_or_named(self):
        self.damaged('audit.pub', pathlib.Path.unlink)
        self.works()
        self.assertEqual(self.records.key.read_bytes(), (self.good / 'audit.pub').read_bytes())
        self.records.check()
        path, _ = self.damaged('audit.pub', lambda path: path.write_text('garbage', encoding='ascii'))
        self.refuses(re.escape(str(path)), 'move .* aside')
        path.unlink()
        self.works()
        self.records.check()

    def test_an_audit_key_that_is_lost_is_not_replaced_beside_its_public_half(self):
        path, _ = self.damaged('audit.key', pathlib.Path.unlink)
        self.refuses(f'{path} is missing', 'restore the key from a backup', 'move .* aside')
        self.assertFalse(path.exists(), 'a new key was made, and the start refused')
        shutil.copy(self.good / 'audit.key', path)
        self.works()
        self.records.check()

    def test_a_damaged_root_is_refused_and_restored_as_told_it_signs_again(self):
        for name, damage in {'cut': cut(400), 'empty': cut(0), 'flipped bytes in the key': flip(-150, 20),
                             'flipped bytes in the certificate': flip(100, 20), 'gone': pathlib.Path.unlink}.items():
            with self.subTest(name):
                path, _ = self.damaged('ca/*.pem', damage)
                self.refuses(re.escape(str(path)), 'restore it from a backup', 'move the whole directory aside')
                shutil.copy(self.good / 'ca' / path.name, path)
                self.works()
                self.assertEqual([file.name for file in self.n.data.glob('ca/*.pem')], [path.name])

    def test_a_root_whose_directory_is_moved_aside_as_told_is_followed_by_a_new_one_on_record(self):
        path, _ = self.damaged('ca/*.pem', cut(400))
        self.refuses('move the whole directory aside to begin with a new root')
        path.parent.rename(self.n.dir / 'old-ca')
        self.works_and_says('degraded: identity_source: .*held no authority at start')
        self.works()
        [new] = self.n.data.glob('ca/*.pem')
        self.assertNotEqual(new.name, path.name)
        self.assertTrue([line for line in self.records.check() if line['kind'] == 'ca' and line.get('authority') == new.stem])

    def test_a_damaged_list_of_roots_is_refused_and_removed_as_told_the_root_is_adopted(self):
        for damage in (cut(20), cut(0), lambda path: path.write_text('[]', encoding='ascii')):
            path, _ = self.damaged('ca/authorities.json', damage)
            [root] = self.n.data.glob('ca/*.pem')
            self.refuses(re.escape(str(path)), 'restore it from a backup, or remove it')
            path.unlink()
            self.works()
            self.assertEqual(list(self.n.data.glob('ca/*.pem')), [root])
