"""The figures: what each row means, what it is compared with, and how the table is printed and kept.

A row has one list of values for each contender (`ours`, `spire`, `limit`), one value a round; medians are compared, and a
ratio is one of medians of the same run.
"""

import dataclasses
import statistics

CONTENDERS = ('ours', 'spire', 'limit')


@dataclasses.dataclass(frozen=True)
class Target:
    """What our median is held against. `of`: the contender that it is a share of; None: the value itself."""
    text: str
    bound: float
    of: str | None = None
    at_least: bool = False

    def measure(self, medians):
        """The number that is compared with the bound, or None when it was not measured."""
        ours = medians.get('ours')
        if ours is None or self.of is None:
            return ours
        other = medians.get(self.of)
        if not other:
            return None
        return other / ours if self.at_least else ours / other

    def met(self, medians, times=1):
        """None when it was not measured. `times`: how often worse than the bound still passes."""
        value = self.measure(medians)
        if value is None:
            return None
        return value * times >= self.bound if self.at_least else value <= self.bound * times


def of_spire(share):
    return Target(f'≤ {share:g} × spire-agent', share, of='spire')


def of_limit(share):
    """For durations: the limit takes at least this share of our time."""
    return Target(f'≥ {share:.0%} of the limit', share, of='limit', at_least=True)


def at_most(value, unit):
    return Target(f'≤ {value:g} {unit}', value)


def at_least(value, unit):
    return Target(f'≥ {value:g} {unit}', value, at_least=True)


@dataclasses.dataclass(frozen=True)
class Row:
    text: str
    unit: str
    target: Target | None = None


ROWS = {
    'fetch.cpu.1': Row('fetch, one at a time: CPU of the agent', 'µs', of_spire(0.40)),
    'fetch.cpu.8': Row('fetch, eight at once: CPU of the agent', 'µs', of_spire(0.60)),
    'fetch.p50.1': Row('fetch, one at a time: latency p50', 'µs', of_spire(0.70)),
    'fetch.p99.1': Row('fetch, one at a time: latency p99', 'µs', of_spire(0.50)),
    'fetch.p50.8': Row('fetch, eight at once: latency p50', 'µs', of_spire(0.70)),
    'fetch.p99.8': Row('fetch, eight at once: latency p99', 'µs', of_spire(0.50)),
    'fetch.rate.8': Row('fetch, eight at once: fetches a second', '/s'),
    'fetch.every': Row('fetch, one at a time, every kind of selector in use: CPU', 'µs'),
    'jwt.cpu.1': Row('cached JWT-SVID, connection kept, one at a time: CPU of the agent', 'µs', of_spire(0.50)),
    'jwt.cpu.8': Row('cached JWT-SVID, connections kept, eight at once: CPU of the agent', 'µs', of_spire(0.50)),
    'jwt.p50.1': Row('cached JWT-SVID, one at a time: latency p50', 'µs'),
    'jwt.p99.1': Row('cached JWT-SVID, one at a time: latency p99', 'µs'),
    'jwt.p50.8': Row('cached JWT-SVID, eight at once: latency p50', 'µs'),
    'jwt.p99.8': Row('cached JWT-SVID, eight at once: latency p99', 'µs'),
    'validate.cpu.1': Row('ValidateJWTSVID, connection kept, one at a time: CPU of the agent', 'µs', of_spire(0.50)),
    'validate.cpu.8': Row('ValidateJWTSVID, connections kept, eight at once: CPU of the agent', 'µs', of_spire(0.50)),
    'validate.p50.1': Row('ValidateJWTSVID, one at a time: latency p50', 'µs'),
    'validate.p99.1': Row('ValidateJWTSVID, one at a time: latency p99', 'µs'),
    'validate.p50.8': Row('ValidateJWTSVID, eight at once: latency p50', 'µs'),
    'validate.p99.8': Row('ValidateJWTSVID, eight at once: latency p99', 'µs'),
    'jwt-new.cpu.8': Row('new JWT-SVID each time, connections kept, eight at once: CPU of the agent', 'µs'),
    'jwt-new.rate.8': Row('new JWT-SVID each time, eight at once: calls a second', '/s'),
    'handshake': Row('mutual TLS handshake with the client library, both ends', 'µs', of_limit(0.90)),
    'snapshot': Row('read the newest snapshot of a source', 'ns'),
    'cold.p50': Row('fetch after a quiet second: latency p50', 'ms'),
    'cold.p99': Row('fetch after a quiet second: latency p99', 'ms', at_most(3, 'ms')),
    'memory.rss': Row('after start: resident', 'MiB', of_spire(0.35)),
    'memory.private': Row('after start: private', 'MiB'),
    'streams.1000': Row('idle stream, of 1,000: resident', 'KiB', of_spire(0.55)),
    'streams.5000': Row('idle stream, of 5,000: resident', 'KiB', of_spire(0.55)),
    'entries.rss': Row('10,000 entries: resident', 'MiB', of_spire(0.50)),
    'entries.private': Row('10,000 entries: private', 'MiB'),
    'entries.cpu': Row('10,000 entries: CPU while nothing happens', 'ms/s', of_spire(0.20)),
    'renewal.peak': Row('50 identities of 60 s × 500 streams: resident at the most', 'MiB', of_spire(0.05)),
    'renewal.pushes': Row('the same: pushes to a stream', '/75 s'),
    'renewal.cpu': Row('the same: CPU of the agent', 's/75 s'),
    'renewal.missed': Row('the same: streams ended, messages without every identity', '', at_most(0, '')),
    'renewal.left': Row('the same: least life left of any SVID', 's', at_least(20, 's')),
    'pinned.share': Row('5,000 streams, 60 s, one core: latest renewal, of the lifetime', '', at_most(0.60, '')),
    'pinned.missed': Row('the same: streams ended or without a renewal', '', at_most(0, '')),
    'change.last': Row('registry change to the last of 1,000 streams', 'ms', at_most(400, 'ms')),
    'bundle.x509': Row('bundle change to the last of 5,000 FetchX509Bundles streams', 'ms', at_most(500, 'ms')),
    'bundle.jwt': Row('bundle change to the last of 5,000 FetchJWTBundles streams', 'ms', at_most(500, 'ms')),
    'start.1': Row('start to first SVID, state on disk, 1 entry', 'ms', of_spire(1.0)),
    'start.1000': Row('start to first SVID, state on disk, 1,000 entries', 'ms', of_spire(0.5)),
    'restart.back': Row('1,000 streams are back after a restart', 'ms'),
    'issue.pki': Row('issue in pki: key, certificate, signature; one core', 'µs', of_limit(0.75)),
    'issue.store': Row('issue through store and audit log, of 2,000 at once', 'µs'),
    'jwt.pki': Row('issue a JWT-SVID in pki: claims, signature; one core', 'µs', of_limit(0.60)),
    'jwt.store': Row('issue a JWT-SVID through store and audit log, of 2,000 at once', 'µs'),
    'verify': Row('verify an X.509-SVID', 'µs'),
    'jwt.validate': Row('validate a JWT-SVID in pki', 'µs'),
    'match.earns': Row('match, 10,000 entries: a caller with 30 selectors', 'µs', at_most(20, 'µs')),
    'match.stranger': Row('match, 10,000 entries: a caller that earns nothing', 'µs', at_most(20, 'µs')),
    'match.gap': Row('match, 10,000 entries: 100 hang on a program that cannot be read', 'µs'),
    'attest.unix': Row('attestation, unix: CPU', 'µs'),
    'attest.both': Row('attestation, unix and process: CPU', 'µs'),
    'looks.cpu': Row('attestation of the caller of an open stream: CPU', 'µs'),
    'looks.minute': Row('1,000 open streams, each attested every minute: CPU', 'ms/s'),
    'docker.new': Row('Docker attestation, of a container not asked about lately: CPU beyond a fetch outside any', 'µs', of_spire(0.50)),
    'docker.again': Row('Docker attestation, of the same container again and again: the same', 'µs', of_spire(0.50)),
    'docker.crowd': Row('200 containers that call at once: the last is served', 'ms', at_most(2000, 'ms')),
    'k8s.spaced.110': Row('Kubernetes attestation, 110 pods, a caller every 0.7 s: CPU beyond a fetch outside any', 'µs', of_spire(1 / 20)),
    'k8s.spaced.250': Row('the same, 250 pods', 'µs', of_spire(1 / 20)),
    'k8s.again.110': Row('Kubernetes attestation, 110 pods, one caller after the other: the same', 'µs', of_spire(1 / 3)),
    'k8s.again.250': Row('the same, 250 pods', 'µs', of_spire(1 / 3)),
    'k8s.static.110': Row('Kubernetes attestation of a static pod, 110 pods, every 0.7 s: the same', 'µs', of_spire(1 / 20)),
    'k8s.static.250': Row('the same, 250 pods', 'µs', of_spire(1 / 20)),
    'k8s.memory.110': Row('resident memory afterwards, 110 pods', 'MiB', of_spire(1 / 6)),
    'k8s.memory.250': Row('the same, 250 pods', 'MiB', of_spire(1 / 6)),
    'k8s.crowd': Row('110 pods that call before they are listed: the last is served, after it is listed', 'ms', at_most(2000, 'ms')),
    'k8s.crowd.median': Row('the same: median', 'ms'),
    'k8s.requests': Row('the same: most requests to the kubelet in any second', '', at_most(5, '')),
    'flood.idle': Row('another caller, before a flood: latency p99', 'ms'),
    'flood.connections': Row('its p99 while one user floods with connections, of that before', '×', at_most(2, '×')),
    'flood.user': Row('its p99 while one user floods with calls', '×', at_most(2, '×')),
    'flood.cgroup': Row('its p99 while one cgroup asks for ever new JWT-SVIDs', '×', at_most(2, '×')),
    'flood.identity': Row('its p99 while four cgroups of one identity do so', '×', at_most(2, '×')),
    'flood.failed': Row('fetches of the other caller that failed meanwhile', '', at_most(0, '')),
}


class Results:
    """Values of one run, by row and contender; curves; recipes. Printed and kept as JSON."""

    def __init__(self, about):
        self.about = about
        self.values = {}
        self.curves = {}
        self.recipes = {}  # what one stream and one fetch cost the bare server without each

    def add(self, row, contender, value):
        assert row in ROWS and contender in CONTENDERS
        self.values.setdefault(row, {}).setdefault(contender, []).append(value)

    def add_point(self, curve, contender, x, y):
        self.curves.setdefault(curve, {}).setdefault(contender, []).append([x, y])

    def add_recipe(self, name, stream_bytes, fetch_micros):
        values = self.recipes.setdefault(name, {'stream_bytes': [], 'fetch_micros': []})
        values['stream_bytes'].append(stream_bytes)
        values['fetch_micros'].append(fetch_micros)

    def medians(self, row):
        return {contender: statistics.median(values) for contender, values in self.values.get(row, {}).items()}

    def lines(self):
        """One dictionary a measured row, in the order of ROWS."""
        for key, row in ROWS.items():
            medians = self.medians(key)
            if not medians:
                continue
            ratio = medians['ours'] / medians['spire'] if medians.get('spire') and 'ours' in medians else None
            yield {'row': key, 'text': row.text, 'unit': row.unit, 'values': self.values[key], 'medians': medians, 'ratio': ratio,
                   'target': row.target.text.strip() if row.target else None, 'met': row.target.met(medians) if row.target else None}

    def worse_than(self, times):
        """The rows whose figure is so many times worse than its target."""
        return [row.text for key, row in ROWS.items()
                if row.target and self.medians(key) and row.target.met(self.medians(key), times) is False]

    def as_json(self):
        return {'about': self.about, 'rows': list(self.lines()), 'curves': self.curves, 'recipes': self.recipes}


HEADS = ('figure', 'ours', 'spire-agent', 'limit', '÷ spire', 'target', 'met')


def cells(line):
    """One line of Results.lines() as the texts of the table's columns."""
    shown = [number(line['medians'].get(contender), line['unit']) for contender in CONTENDERS]
    ratio = f'{line["ratio"]:.2f}' if line['ratio'] is not None else '–'
    met = {True: 'yes', False: 'no', None: '–'}[line['met']]
    return (line['text'], *shown, ratio, line['target'] or '–', met)


def number(value, unit):
    if value is None:
        return '–'
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f'{value:,.{digits}f} {unit}'.strip()


def print_table(lines, out):
    table = [HEADS, *(cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADS))]
    for row in table:
        print('  '.join(cell.ljust(width) if column == 0 else cell.rjust(width) if column < 5 else cell.ljust(width)
                        for column, (cell, width) in enumerate(zip(row, widths))).rstrip(), file=out, flush=True)
