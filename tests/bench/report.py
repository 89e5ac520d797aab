#!/usr/bin/env python3
"""Puts the figures of one run into docs/PERFORMANCE.md, between its two marks, and draws docs/performance.svg.

    tests/bench/run.sh --json FILE && tests/bench/report.py FILE
"""

import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

from chart import SERIES, chart  # noqa: E402
from table import HEADS, cells, number  # noqa: E402

DOCS = HERE.parents[1] / 'docs'
BEGIN, END = '<!-- figures: written by tests/bench/report.py -->', '<!-- end of figures -->'

# The curves in the order of the picture: key, what it shows, its unit, what grows.
CURVES = [
    ('entries_rss', 'resident memory', 'MiB', 'entries'),
    ('entries_start', 'start to first SVID', 'ms', 'entries'),
    ('match', 'one match', 'µs', 'entries'),
    ('streams_rss', 'resident memory', 'MiB', 'streams'),
    ('streams_fan_out', 'push, first to last stream', 'ms', 'streams'),
    ('streams_change', 'change to last stream', 'ms', 'streams'),
    ('identities_fetch', 'fetch, p50', 'ms', 'identities of one caller'),
    ('identities_rss', 'resident memory', 'MiB', 'identities of one caller'),
]


def row(*texts):
    return f'| {" | ".join(texts)} |'


RECIPES = {
    '': 'all recipes',
    'experiment': "without switching gRPC's `tcp_read_chunks` experiment off",
    'chunks': 'without read chunks of 256 bytes',
    'tables': 'without header tables of size 0 and no channelz',
    'graph': "without switching abseil's graph of locks off",
}


def recipes(run):
    if run['recipes']:
        yield row('bare server', 'idle stream, of 1,000', 'CPU of a fetch, eight at once')
        yield row('---', '---:', '---:')
    for name, values in run['recipes'].items():
        stream, fetch = (statistics.median(values[key]) for key in ('stream_bytes', 'fetch_micros'))
        yield row(RECIPES[name], number(stream / 1024, 'KiB'), number(fetch, 'µs'))


def curves(run):
    measured = [one for one in CURVES if one[0] in run['curves']]
    sizes = sorted({x for key, *_ in measured for line in run['curves'][key].values() for x, _ in line})
    if measured:
        yield row('what grows', 'figure', 'whose', *(f'{size:,}' for size in sizes))
        yield row('---', '---', '---', *('---:' for _ in sizes))
    for key, what, unit, grows in measured:
        for name, (shown, _) in SERIES.items():
            points = dict(map(tuple, run['curves'][key].get(name, [])))
            if points:
                yield row(grows, what, shown, *(number(points.get(size), unit) for size in sizes))


def figures(run):
    """The Markdown between the marks."""
    about = run['about']
    yield f'Machine: {about["machine"]}. {about["build"]} build of commit {about["commit"]}, {about["date"]}, load {about["load_at_start"]} at the start.'
    if about.get('warning'):
        yield f'**Warning:** {about["warning"]}.'
    yield ''
    yield row(*HEADS)
    yield row('---', '---:', '---:', '---:', '---:', '---', '---')
    for line in run['rows']:
        yield row(*cells(line))
    for heading, lines in (('What each recipe is worth', list(recipes(run))), ('How cost grows', list(curves(run)))):
        if lines:
            yield from ('', f'### {heading}', '')
            if heading == 'How cost grows':
                yield from ('![How cost grows with entries, streams and identities](performance.svg)', '')
            yield from lines


def main(path):
    run = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
    document = DOCS / 'PERFORMANCE.md'
    before, rest = document.read_text(encoding='utf-8').split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    document.write_text('\n'.join([before + BEGIN, *figures(run), END + after]), encoding='utf-8')
    panels = [(f'{what}, {unit}', grows, run['curves'][key]) for key, what, unit, grows in CURVES if key in run['curves']]
    if panels:
        (DOCS / 'performance.svg').write_text(chart(panels), encoding='utf-8')


if __name__ == '__main__':
    main(sys.argv[1])
