"""How long a change of the registry, or of a foreign bundle, takes to reach everybody whom it concerns."""

import pathlib
import tempfile
import time

from contenders import PARTNER, Bench, Held, mine
from node import eventually
from partner import Partner


class ChangeBench(Bench):
    def test_change(self):
        """One entry more, for all of 1,000 open streams, again and again. Ours: the rename of the registry file; SPIRE's: when
        its server has acknowledged the entry; the limit: one push of the bare server."""
        streams = 1000
        entries = [mine()]
        contenders = self.started(entries, connections=streams)
        held = {one: Held(self, one, streams) for one in contenders}
        for _ in range(self.rounds * 3):
            entries = [*entries, mine(f'/more-{len(entries)}')]
            for one in contenders:
                one.prepare_change(entries)
                time.sleep(0.5)
                held[one].expect(len(entries), 30)
                begin = time.monotonic()
                one.change()
                if one.name == 'spire':
                    begin = time.monotonic()
                told = held[one].told(30)
                self.assertEqual(told['there'], streams, f'{one.name}: streams that have {len(entries)} SVIDs')
                self.add('change.last', one, 1000 * max(0, told['last'] - begin))

    def test_bundle_change(self):
        """The bundle document of a foreign trust domain becomes another, again and again. Ours: the rename of the document; SPIRE's:
        when its server has acknowledged it; the limit: one push of the bare server. One at a time: a fan-out wants the machine."""
        streams = 5000
        directory = tempfile.TemporaryDirectory(prefix='lanyard-partner-')
        self.addCleanup(directory.cleanup)
        partner = Partner(pathlib.Path(directory.name), PARTNER)
        documents = [partner.document(name, jwt=[name]) for name in ('one', 'two')]
        for one in self.contenders([mine()], connections=streams, foreign=documents[0]):
            one.start()
            one.serves()
            for row, kind in (('bundle.x509', 'x509-bundles'), ('bundle.jwt', 'jwt-bundles')):
                held = Held(self, one, streams, 'streams' if one.name == 'limit' else kind)
                if one.name != 'limit':
                    eventually(lambda held=held: held.report()['fewest'] == 2, 30, 'that every stream has both bundles')
                for _ in range(self.rounds * 2):
                    documents.reverse()
                    self._change_bundle(row, one, held, documents[0])
                held.close()
            one.stop()

    def _change_bundle(self, row, one, held, document):
        time.sleep(0.5)
        held.expect('another', 30)
        begin = time.monotonic()
        one.change_bundle(document)
        if one.name == 'spire':
            begin = time.monotonic()
        told = held.told(30)
        self.assertEqual(told['there'], told['streams'], f'{one.name}: streams that have the new bundle')
        self.add(row, one, 1000 * max(0, told['last'] - begin))
