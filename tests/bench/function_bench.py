"""Single functions by programs of their own, and issuing as a caller sees it."""

import json
import subprocess
import time

from contenders import Bench, Ours, mine, program


def run(name, *arguments):
    done = subprocess.run([program(name), *map(str, arguments)], capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout)


class FunctionBench(Bench):
    def test_functions(self):
        for _ in range(self.rounds):
            issue = run('issue_bench', 1000 if self.quick else 5000)
            self.add('issue.pki', 'ours', issue['issue_us'])
            self.add('issue.pki', 'limit', issue['key_and_signature_us'])
            self.add('verify', 'ours', issue['verify_us'])
            self.add('jwt.pki', 'ours', issue['jwt_issue_us'])
            self.add('jwt.pki', 'limit', issue['signature_us'])
            self.add('jwt.validate', 'ours', issue['jwt_validate_us'])
            match = run('match_bench', 10_000)
            for row, what in (('earns', 'earns'), ('stranger', 'stranger'), ('gap', 'executable_unknown')):
                self.add(f'match.{row}', 'ours', match[what]['p50_us'])
            attest = run('attest_bench', 1000 if self.quick else 5000)
            self.add('attest.unix', 'ours', attest['unix']['cpu_us'])
            self.add('attest.both', 'ours', attest['both']['cpu_us'])
            for row in ('attest.unix', 'attest.both'):
                self.add(row, 'limit', attest['limit']['cpu_us'])

    def test_issue(self):
        """Two thousand SVIDs that nobody has asked for yet, in one message to one caller; X.509-SVIDs, then JWT-SVIDs."""
        count = 2000
        for _ in range(self.rounds):
            ours = Ours(self, [mine(f'/agent-{number}') for number in range(count)]).start()
            ours.node.wait_until_it_serves()
            begin = time.monotonic()
            self.assertEqual(ours.serves(), count)
            self.add('issue.store', 'ours', 1e6 * (time.monotonic() - begin) / count)
            self.add('issue.store', 'limit', run('issue_bench', 1000)['key_and_signature_us'])
            seen = ours.load('jwt-new', 0, 1)  # one call, for a token of each
            self.assertEqual(seen['failed'], 0)
            self.assertGreater(seen['message_bytes'], 300 * count)
            self.add('jwt.store', 'ours', seen['micros'][0] / count)
            self.add('jwt.store', 'limit', run('issue_bench', 1000)['signature_us'])
            ours.stop()
