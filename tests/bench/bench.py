#!/usr/bin/env python3
"""Measures Lanyard beside spire-agent and the limit, prints one table, and keeps everything as JSON. tests/bench/run.sh starts it.

    bench.py [--quick] [--rounds N] [--without-spire] [--json FILE] [--fail-at TIMES] [PART…]
"""

import argparse
import datetime
import importlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / 'support/python')]
sys.dont_write_bytecode = True

import report  # noqa: E402
from contenders import Bench  # noqa: E402
from node import BUILD, ROOT  # noqa: E402
from spire import spire_binary  # noqa: E402
from table import Results, print_table  # noqa: E402

# Which file and method measures a part; in the order in which they run.
PARTS = {
    'functions': 'function_bench.FunctionBench.test_functions',
    'handshake': 'handshake_bench.HandshakeBench.test_handshake',
    'fetch': 'fetch_bench.FetchBench.test_fetch',
    'every-kind': 'fetch_bench.FetchBench.test_every_kind',
    'tokens': 'token_bench.TokenBench.test_tokens',
    'new-tokens': 'token_bench.TokenBench.test_new_tokens',
    'cold': 'fetch_bench.FetchBench.test_cold',
    'streams': 'memory_bench.MemoryBench.test_streams',
    'recipes': 'memory_bench.MemoryBench.test_recipes',
    'entries': 'memory_bench.MemoryBench.test_entries',
    'start': 'start_bench.StartBench.test_start',
    'restart': 'start_bench.StartBench.test_restart',
    'change': 'change_bench.ChangeBench.test_change',
    'bundle-change': 'change_bench.ChangeBench.test_bundle_change',
    'issue': 'function_bench.FunctionBench.test_issue',
    'looks': 'look_bench.LookBench.test_looks',
    'docker': 'docker_bench.DockerBench.test_docker',
    'kubernetes': 'kubernetes_bench.KubernetesBench.test_kubernetes',
    'pods-at-once': 'kubernetes_bench.KubernetesBench.test_pods_at_once',
    'flood': 'flood_bench.FloodBench.test_flood',
    'renewal': 'renewal_bench.RenewalBench.test_renewal',
    'pinned': 'renewal_bench.RenewalBench.test_pinned',
    'curves': 'curve_bench.CurveBench.test_curves',
}


def about():
    """The machine, the build and the moment."""
    def git(*words):
        return subprocess.run(['git', '-c', 'safe.directory=*', '-C', ROOT, *words], capture_output=True, text=True, check=False).stdout.strip()
    processor = next((line.split(':', 1)[1].strip() for line in pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
                      if line.startswith('model name')), platform.machine())
    load, cpus = pathlib.Path('/proc/loadavg').read_text(encoding='ascii').split()[0], os.cpu_count()
    cache = (BUILD / 'CMakeCache.txt').read_text(encoding='utf-8').splitlines()
    return {
        'machine': f'{processor}, {cpus} CPUs, kernel {".".join(platform.release().split(".")[:2])}',
        'commit': git('rev-parse', '--short', 'HEAD') + (' and changes' if git('status', '--porcelain', '-uno') else ''),
        'build': next(line.split('=', 1)[1] for line in cache if line.startswith('CMAKE_BUILD_TYPE:')),
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'load_at_start': load,
        'warning': f'the load was {load} on {cpus} CPUs before anything was measured: these are the figures of a busy machine'
                   if float(load) > cpus else '',
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--quick', action='store_true', help='shorter, one round')
    parser.add_argument('--rounds', type=int, help='rounds of each part (3, or 1 with --quick)')
    parser.add_argument('--without-spire', action='store_true')
    parser.add_argument('--json', type=pathlib.Path, help='where to keep the values')
    parser.add_argument('--fail-at', type=float, help='end with 1 when a figure is so many times worse than its target')
    parser.add_argument('parts', nargs='*', choices=[*PARTS, []], metavar='PART', help=' '.join(PARTS))
    arguments = parser.parse_args()
    os.umask(0o022)
    if not arguments.without_spire and not spire_binary('spire-agent'):
        sys.exit('bench: spire-agent is not there: "tests/peers.sh compiled" builds it, or say --without-spire')

    results = Bench.results = Results(about())
    Bench.quick = arguments.quick
    Bench.rounds = arguments.rounds or (1 if arguments.quick else 3)
    Bench.with_spire = not arguments.without_spire
    print(', '.join([f'{results.about["machine"]}', f'commit {results.about["commit"]}', f'{results.about["build"]} build',
                     f'load {results.about["load_at_start"]} at the start', results.about['date'], f'{Bench.rounds} rounds']), flush=True)
    if results.about['warning']:
        print(f'WARNING: {results.about["warning"]}', flush=True)
    fine = True
    for part in arguments.parts or PARTS:
        begin = time.monotonic()
        module, cls, method = PARTS[part].split('.')
        outcome = unittest.TextTestRunner(verbosity=0, stream=open(os.devnull, 'w', encoding='utf-8')).run(
            getattr(importlib.import_module(module), cls)(method))
        for _, why in [*outcome.failures, *outcome.errors]:
            print(f'not measured: {part}: {why.strip()}', file=sys.stderr)
        for _, why in outcome.skipped:
            print(f'not measured: {part}: {why}', file=sys.stderr)
        fine = fine and outcome.wasSuccessful()
        print(f'{part}: {time.monotonic() - begin:.0f} s', file=sys.stderr, flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(results.as_json(), indent=1, ensure_ascii=False), encoding='utf-8')
    print_table(results.lines(), sys.stdout)
    for line in (*report.recipes(results.as_json()), *report.curves(results.as_json())):
        print(line)
    worse = results.worse_than(arguments.fail_at) if arguments.fail_at else []
    for row in worse:
        print(f'{arguments.fail_at:g} times worse than its target: {row}')
    sys.exit(0 if fine and not worse else 1)


if __name__ == '__main__':
    main()
