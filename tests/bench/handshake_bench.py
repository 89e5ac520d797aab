"""A mutual TLS handshake with the client library, beside OpenSSL alone with the same certificates and keys."""

from contenders import Bench, Ours, mine
from function_bench import run


class HandshakeBench(Bench):
    def test_handshake(self):
        ours = Ours(self, [mine('/agent'), mine('/tool')]).start()
        ours.serves()
        for _ in range(self.rounds):
            seen = run('handshake_bench', f'unix://{ours.socket}', 'spiffe://example.org/agent', 'spiffe://example.org/tool',
                       300 if self.quick else 2000)
            self.add('handshake', 'ours', seen['ours_us'])
            self.add('handshake', 'limit', seen['bare_us'])
            self.add('snapshot', 'ours', seen['snapshot_read_ns'])
        ours.stop()
