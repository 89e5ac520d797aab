"""The audit log of a node that runs: looks for lines, and waits for them."""

import json

from node import eventually
from records import Records


def matches(line, wanted):
    """Whether `line` has all of `wanted`: values, or dictionaries of values; a function is asked."""
    for key, value in wanted.items():
        if isinstance(value, dict):
            if not matches(line.get(key) or {}, value):
                return False
        elif callable(value):
            if key not in line or not value(line[key]):
                return False
        elif line.get(key) != value:
            return False
    return True


class AuditView(Records):
    def bytes(self):
        """The whole lines of the current file, without their ends."""
        return self.audit.read_bytes().split(b'\n')[:-1] if self.audit.exists() else []

    def lines(self, **wanted):
        """The lines of all files that have these values, oldest first. Checks nothing: chain() does."""
        found = []
        for path in self.files():
            for text in path.read_bytes().split(b'\n')[:-1]:
                line = json.loads(text)
                if matches(line, wanted):
                    found.append(line)
        return found

    def one(self, **wanted):
        """The only such line; what the agent answers before it is written is waited for with wait()."""
        found = self.lines(**wanted)
        self.test.assertEqual(len(found), 1, f'{wanted} in the audit log: {found}')
        return found[0]

    def wait(self, seconds=10, **wanted):
        """The newest such line, as soon as there is one."""
        return eventually(lambda: self.lines(**wanted), seconds, f'{wanted} in {self.audit}')[-1]

    def issued_now(self):
        """Serials in the state database as SQLite shows them to another process while the agent has it open."""
        done = self.node.run(['sqlite3', '-readonly', self.node.data / 'state.db', 'SELECT serial FROM issued'])
        self.test.assertEqual(done.returncode, 0, done.stderr)
        return {int(serial, 16) for serial in done.stdout.split()}


def small(audit=None, **more):
    """Settings for Node.write_config: an audit log that rotates early and signs often."""
    return {'audit': {'rotate_at': '64KiB', 'checkpoint_interval': '1s', **(audit or {})}, **more}
