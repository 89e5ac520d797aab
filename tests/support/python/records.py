"""Reads what an agent has written down, with none of its own code: sqlite3, hashlib, json and the openssl program.

The files are copied first, so that looking changes nothing: SQLite merges a journal that a kill has left when it opens it.
"""

import base64
import hashlib
import json
import pathlib
import re
import shutil
import sqlite3
import subprocess
import tempfile

from node import EXIT_OK
from svid_stream import der_items

ZEROS = '0' * 64


def serial_of(certificate):
    """The serial number of a certificate in DER (RFC 5280 §4.1)."""
    [(_, whole, _)] = der_items(certificate)
    to_be_signed = next(der_items(whole))[1]
    return int.from_bytes(next(content for tag, content, _ in der_items(to_be_signed) if tag != 0xa0), 'big')


def leaf_of(svid):
    """The leaf, DER, of an SVID as svid_stream.py describes it."""
    return next(der_items(base64.b64decode(svid['chain'])))[2]


def pem(der):
    return f'-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n'


class Records:
    """The state database and the audit log of a node. `audit` is the path of the log's current file."""

    def __init__(self, node, audit=None):
        self.node, self.test = node, node.test
        self.audit = pathlib.Path(audit or node.data / 'audit/audit.jsonl')
        self.key = node.data / 'audit.pub'

    def serials(self):
        """The serials in the state database, as numbers, with their SPIFFE IDs."""
        return dict((int(serial, 16), spiffe_id) for serial, spiffe_id in self.query('SELECT serial, spiffe_id FROM issued'))

    def head(self):
        """Number and hash of the line that the state database remembers as the newest."""
        return next(iter(self.query('SELECT seq, hash FROM audit_head')), (0, ZEROS))

    def query(self, sql):
        with tempfile.TemporaryDirectory() as scratch:
            for path in self.node.data.glob('state.db*'):
                if path.name in ('state.db', 'state.db-wal'):
                    shutil.copy(path, scratch)
            database = sqlite3.connect(f'{scratch}/state.db')
            try:
                self.test.assertEqual(database.execute('PRAGMA integrity_check').fetchall(), [('ok',)])
                return database.execute(sql).fetchall()
            finally:
                database.close()

    def files(self):
        """The files of the log, oldest first."""
        rotated = [path for path in self.audit.parent.glob(f'{self.audit.name}.*') if re.search(r'\.jsonl\.\d+$', path.name)]
        rotated.sort(key=lambda path: int(path.suffix[1:]))
        return rotated + ([self.audit] if self.audit.exists() else [])

    def aside(self, why='*'):
        """The files that the agent has set aside beside the log, by name: torn, damaged, foreign."""
        return sorted(self.audit.parent.glob(f'{self.audit.name}.{why}-*Z*'))

    def chain(self, torn_end=False, files=None, begins=None):
        """Every line of the log as a dictionary. The chain must be whole: numbers without a gap, each line naming the
        SHA-256 of the one before, over files; `torn_end`: the last line may lack its end, as after a kill."""
        lines, hashed = [], ZEROS if begins is None else begins[1]
        number = 0 if begins is None else begins[0]
        files = self.files() if files is None else files
        for path in files:
            data = path.read_bytes()
            *whole, rest = data.split(b'\n')
            if rest:
                self.test.assertTrue(torn_end and path == files[-1], f'{path} ends in the middle of a line')
            for text in whole:
                line = json.loads(text)
                number += 1
                self.test.assertEqual(line['seq'], number, f'{path}: a gap')
                self.test.assertEqual(line['prev_hash'], hashed, f'{path}: seq {number} does not continue the line before')
                hashed = hashlib.sha256(text).hexdigest()
                lines.append(line)
        return lines

    def check_signatures(self, lines, at_least=1):
        """openssl dgst -sha256 -verify audit.pub -signature SIGNATURE TEXT, for the last checkpoints."""
        signed = [line['checkpoint'] for line in lines if line['kind'] == 'checkpoint']
        self.test.assertGreaterEqual(len(signed), at_least)
        by_seq = {line['seq']: line for line in lines}
        with tempfile.TemporaryDirectory() as scratch:
            text, signature = pathlib.Path(scratch, 'text'), pathlib.Path(scratch, 'signature')
            for checkpoint in signed[-5:]:
                after = by_seq[checkpoint['seq'] + 1]
                self.test.assertEqual(after['prev_hash'], checkpoint['hash'])
                text.write_text(f'lanyard audit checkpoint v1\n{checkpoint["seq"]}\n{checkpoint["hash"]}\n', encoding='ascii')
                signature.write_bytes(base64.b64decode(checkpoint['signature']))
                done = subprocess.run(['openssl', 'dgst', '-sha256', '-verify', self.key, '-signature', signature, text],
                                      capture_output=True, text=True, check=False)
                self.test.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def verify(self, *files):
        """What `lanyard audit verify` says."""
        return self.node.cli('audit', 'verify', '--key', self.key, *(files or self.files()), seconds=60)

    def check(self, torn_end=False):
        """All of it, after the agent has ended; returns the lines of the log. Our own program must agree."""
        lines = self.chain(torn_end)
        seq, hashed = self.head()
        if seq:
            self.test.assertLessEqual(seq, len(lines), 'the state remembers a line that is not in the log')
            if seq < len(lines):
                self.test.assertEqual(lines[seq]['prev_hash'], hashed, 'the state remembers another line')
        if not torn_end:
            self.check_signatures(lines)
            done = self.verify()
            self.test.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        return lines


def issued(lines):
    """The serials of the issue records, as numbers, with their SPIFFE IDs."""
    return {int(line['serial'], 16): line['spiffe_id'] for line in lines if line['kind'] == 'issue'}


def granted(lines):
    """Who was granted what: pid and SPIFFE ID."""
    return {(line['caller']['pid'], line.get('spiffe_id')) for line in lines
            if line['kind'] == 'fetch' and line.get('decision') == 'allow'}
