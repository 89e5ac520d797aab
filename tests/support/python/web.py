"""What a node's HTTP endpoints answer, and a strict reader of the Prometheus text format."""

import http.client
import json
import re

from node import eventually

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf'({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? ([-+]?(?:\d[0-9.e+-]*|Inf)|NaN)')
PARTS = ('_bucket', '_sum', '_count')


class Endpoint:
    """One address; a connection for each request."""

    def __init__(self, address):
        host, _, port = address.rpartition(':')
        self.address, self.host, self.port = address, host.strip('[]'), int(port)

    def ask(self, path, method='GET', body=None, seconds=10):
        """Status, content type and body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=seconds)
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
            return answer.status, answer.getheader('content-type'), answer.read().decode('utf-8')
        finally:
            connection.close()

    def json(self, path):
        status, _, body = self.ask(path)
        return status, json.loads(body)

    def metrics(self):
        status, kind, body = self.ask('/metrics')
        assert status == 200 and kind.startswith('text/plain; version=0.0.4'), (status, kind)
        return Page(body)


def endpoints_of(node, count=1):
    """Where the agent says that it serves, by name, from its log: the newest of `count` addresses each."""
    def find():
        found = {}
        for name in ('metrics', 'health'):
            said = re.findall(rf' info {name} on (\S+)$', node.log_text(), re.MULTILINE)
            if len(said) < count:
                return None
            found[name] = Endpoint(said[-1])
        return found
    return eventually(find, 10, 'the addresses of both endpoints in the log')


class Page:
    """A page of metrics. Raises where the format or a rule of Prometheus is broken: each family has one HELP and one
    TYPE before its samples, which lie together; no sample comes twice; the buckets of a histogram add up."""

    def __init__(self, text):
        self.text, self.types, self.samples, self.labels = text, {}, {}, {}
        assert text.endswith('\n')
        family, helped = None, set()
        for line in text[:-1].split('\n'):
            comment = re.fullmatch(rf'# (HELP|TYPE) ({NAME}) (.+)', line)
            if comment and comment[1] == 'HELP':
                assert comment[2] not in helped, f'HELP twice: {line}'
                helped.add(comment[2])
            elif comment:
                family = comment[2]
                assert family in helped and family not in self.types, f'TYPE twice or without HELP: {line}'
                assert comment[3] in ('counter', 'gauge', 'histogram'), line
                self.types[family] = comment[3]
            else:
                self._take(family, line)
        for family, kind in self.types.items():
            assert family in self.labels, f'{family} has no sample'
            if kind == 'histogram':
                self._check_histogram(family)

    def _take(self, family, line):
        sample = SAMPLE.fullmatch(line)
        assert sample, f'no sample: {line}'
        name, value = sample[1], float(sample[3])
        labels = dict(re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', sample[2] or ''))
        belongs = [family + part for part in PARTS] if self.types[family] == 'histogram' else [family]
        assert name in belongs, f'{name} after the TYPE of {family}'
        key = (name, *sorted(labels.items()))
        assert key not in self.samples, f'twice: {line}'
        self.samples[key] = value
        self.labels.setdefault(family, set()).update(set(labels) - {'le'})

    def _check_histogram(self, family):
        series = {}  # by the labels beside the bucket's
        for (name, *labels), value in self.samples.items():
            if name == f'{family}_bucket':
                others = tuple(label for label in labels if label[0] != 'le')
                series.setdefault(others, []).append((float(dict(labels)['le']), value))
        assert series, family
        for labels, buckets in series.items():
            assert buckets == sorted(buckets) and buckets[-1][0] == float('inf'), (family, labels)
            counts = [count for _, count in buckets]
            assert counts == sorted(counts) and counts[-1] == self.samples[f'{family}_count', *labels], (family, labels)

    def value(self, name, **labels):
        return self.samples[name, *sorted(labels.items())]
