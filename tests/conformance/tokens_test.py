"""Our tokens, judged by PyJWT and cryptography. The other way round there are vectors: tests/unit/pki/token_vectors.h."""

import json
import os
import pathlib
import subprocess
import unittest

PEERS = pathlib.Path(os.environ.get('LANYARD_PEERS', '/var/cache/lanyard-peers'))
BUILD = pathlib.Path(os.environ['LANYARD_BUILD'])
CHECK = pathlib.Path(__file__).with_name('python') / 'check_tokens.py'


class TokensTest(unittest.TestCase):
    def test_pyjwt_accepts_tokens_of_every_key_type_and_nothing_for_other_audiences(self):
        if not PEERS.joinpath('python.stamp').exists():
            self.skipTest('the Python clients are not there; tests/peers.sh makes them')
        issued = subprocess.run([BUILD / 'tests/conformance/issue_tokens'], capture_output=True, check=True, timeout=60)
        done = subprocess.run([PEERS / 'python/bin/python', CHECK], input=issued.stdout, capture_output=True, check=False,
                              timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(json.loads(done.stdout), {'good': 6})
