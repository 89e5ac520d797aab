"""Kills an agent while it works: at random, or at a step of what it writes (tests/support/kill_at.c)."""

import os
import re

from programs import loyal_client_program, preloadable
from records import granted, issued, leaf_of, serial_of

FULL = os.environ.get('LANYARD_FULL') == '1'  # all kills instead of a part of them


class Crowd:
    """Workloads that come back, and everything that each of them ever got."""

    def __init__(self, node, uids=()):
        self.node = node
        self.clients = []
        self.serials, self.grants, self.newest, self.messages, self.statuses = {}, set(), {}, 0, set()
        self.join(uids)

    def join(self, uids):
        """One more workload of each of these users; None: ours."""
        self.clients += [self.node.start_lines([*loyal_client_program(self.node), self.node.socket], uid=uid) for uid in uids]

    def stop(self):
        """Ends the workloads; what they got stays to be read."""
        for client in self.clients:
            client.stop()

    def read(self):
        """Takes in what has come since."""
        for client in self.clients:
            while client.has_line():
                message = client.json()
                if 'status' in message:
                    self.statuses.add(message['status'])
                    continue
                self.messages += 1
                for svid in message['svids']:
                    self.serials[serial_of(leaf_of(svid))] = svid['id']
                    self.grants.add((client.pid, svid['id']))
                    self.newest[client.pid, svid['id']] = svid
        return self.messages

    def check_on_record(self, test, records, lines):
        """All that anybody got is in the state database and in the audit log."""
        self.read()
        state, log, grants = records.serials(), issued(lines), granted(lines)
        for serial, spiffe_id in self.serials.items():
            test.assertEqual(state.get(serial), spiffe_id, f'serial {serial:x} was handed out and is not in the state')
            test.assertEqual(log.get(serial), spiffe_id, f'serial {serial:x} was handed out and is not on record')
        test.assertLessEqual(self.grants, grants, 'an SVID was handed out and nothing says to whom')


class Steps:
    """Names the steps of what an agent writes, and lets one end it there."""

    def __init__(self, node):
        self.node = node
        self.library = preloadable(node, 'kill_at')
        self.armed = node.dir / 'armed'
        self.log = node.dir / 'steps'

    def prepare(self, step=None):
        """The next start of the agent has the library, disarmed; `step` as kill_at.c has it, or none: only the log."""
        self.armed.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
        self.node.preload = self.library
        self.node.environment = {'LANYARD_KILL_UNDER': str(self.node.data), 'LANYARD_KILL_WHEN': str(self.armed),
                                 'LANYARD_KILL_LOG': str(self.log), **({'LANYARD_KILL_AT': step} if step else {})}

    def arm(self):
        self.armed.touch()

    def disarm(self):
        self.armed.unlink(missing_ok=True)
        self.node.preload, self.node.environment = None, {}

    def names(self):
        """Each step of the recorded run in order, as "function:pattern:number"."""
        seen, names = {}, []
        for line in self.log.read_text(encoding='utf-8').splitlines():
            function, path = line.split(' ', 1)
            step = f'{function}:{pattern(path)}'
            seen[step] = seen.get(step, 0) + 1
            names.append(f'{step}:{seen[step]}')
        return names


def pattern(path):
    """What stays of a path from one run to the next: not the identifiers of roots, numbers of lines, or times."""
    path = re.sub(r'[0-9a-f]{40}', '*', path)
    path = re.sub(r'jsonl\.\d{20}', 'jsonl.[0-9]*', path)
    return re.sub(r'\d{8}T\d{6}Z(-\d+)?', '*', path)


def moments(names):
    """Before and after each step, and in the middle of each write. Before what is to be durable, others have a while to
    give away what is not yet."""
    for name in names:
        yield f'{name}:{"held" if name.startswith(("write:", "pwrite:", "fdatasync:")) else "before"}'
        if name.startswith(('write:', 'pwrite:')):
            yield f'{name}:half'
        yield f'{name}:after'


def sample(every, all_of_them):
    """All of them by LANYARD_FULL=1, else each n-th, the first and the last among them."""
    chosen = list(all_of_them)
    if FULL or len(chosen) < 3:
        return chosen
    return chosen[::every] + ([chosen[-1]] if (len(chosen) - 1) % every else [])
