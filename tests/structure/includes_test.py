#!/usr/bin/env python3
"""Every include goes to a room that the including room may use, and third parties stay behind their fences.

The table is the one of docs/ARCHITECTURE.md. A room may always include its own files. An entry that ends in a header
allows that header only.
"""

import re

from tree import finish, text_of, tracked_files

BASE, PKI, RPC, PROTO = 'node_agent/base', 'pki', 'node_agent/rpc', 'workload_api/proto'
CONTRACT = ['attestors/selector.h', 'attestors/attestor.h', 'attestors/wanted_kinds.h', 'attestors/attestation.h']
ALL = ['node_agent', 'workload_api', 'attestors', 'pki']

# Room (the longest prefix of a file's path wins) → what it may include besides itself.
ROOMS = {
    'pki': ['node_agent/base/status.h'],
    'attestors': [BASE, PKI],
    BASE: [],
    'node_agent/registry': [*CONTRACT[:3], PKI, BASE],
    'node_agent/state': [PKI, BASE],
    'node_agent/audit': ['node_agent/state', PKI, BASE],
    'node_agent/identity': ['node_agent/audit', 'node_agent/registry', 'node_agent/state', PKI, BASE],
    RPC: [BASE],
    PROTO: [],
    'workload_api': [PROTO, 'node_agent/audit', 'node_agent/identity', 'node_agent/registry', *CONTRACT, RPC, PKI, BASE],
    # Header-only pieces of base: the library links nothing of the agent.
    'workload_api/client': [PROTO, PKI, *(f'{BASE}/{name}.h' for name in ('printable', 'status', 'thread_name', 'utc'))],
    'node_agent/admin': ['node_agent/audit', 'node_agent/identity', 'node_agent/registry', 'attestors', RPC, PKI, BASE],
    'node_agent/app': ALL,
    'deploy/demo': ['workload_api/client', PKI, 'node_agent/base/status.h', 'node_agent/base/fd.h'],
    'tests': [*ALL, 'deploy/demo'],
}

# Third-party include → where it may be written. A trailing ".*" stands for header and source.
FENCES = [
    (r'uv\.h', [BASE + '/', RPC + '/listener.*', RPC + '/peer_socket.*']),
    (r'(grpc|grpcpp|grpc\+\+)/.*', ['attestors/cri_client.*', RPC + '/', 'workload_api/', 'node_agent/admin/', 'node_agent/app/']),
    (r'openssl/.*', [PKI + '/', 'workload_api/client/tls.cc', 'workload_api/client/examples/', 'deploy/demo/']),
    (r'systemd/sd-bus\.h', [BASE + '/bus_connection.cc']),
    (r'yaml-cpp/.*', [BASE + '/yaml.*']),
    (r'spdlog/.*', [BASE + '/']),
    (r'sqlite3\.h', ['node_agent/state/']),
    (r'httplib\.h', [BASE + '/http_server.*']),
    (r'curl/.*', [BASE + '/curl_library.h']),
    (r'simdjson\.h', ['attestors/kubelet_pods.cc']),
    (r'prometheus/.*', [BASE + '/histogram.h', BASE + '/metrics.*']),
    (r'CLI/.*', ['node_agent/app/', 'deploy/demo/']),
    (r'absl/(?!functional/any_invocable\.h|synchronization/mutex\.h).*', [BASE + '/status.h']),
    (r'absl/synchronization/mutex\.h', [RPC + '/', 'node_agent/app/']),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
OURS = re.compile(r'^(node_agent|workload_api|attestors|pki|deploy|tests)/')


def room_of(path):
    fitting = [room for room in ROOMS if path.startswith(room + '/')]
    return max(fitting, key=len) if fitting else None


def inside(path, places):
    return any(path.startswith(place[:-1]) if place.endswith('.*') else
               path.startswith(place) if place.endswith('/') else path == place for place in places)


def problem_with(path, room, kind, target):
    """What is wrong with one include, or None."""
    if OURS.match(target):
        if kind == '<':
            return f'<{target}> is ours and belongs in quotes'
        if room_of(target) == room or any(
                target == allowed or (not allowed.endswith('.h') and target.startswith(allowed + '/'))
                for allowed in ROOMS[room]):
            return None
        return f'"{target}" is not for {room}, which may use: {", ".join(ROOMS[room]) or "nothing of ours"}'
    if room == 'tests':
        return None
    for pattern, places in FENCES:
        if re.fullmatch(pattern, target) and not inside(path, places):
            return f'<{target}> may only be included in: {", ".join(places)}'
    return None


def main():
    problems, checked = [], 0
    for name in map(str, tracked_files()):
        if not name.endswith(('.h', '.cc')):
            continue
        room = room_of(name)
        if room is None:
            problems.append(f'{name}: belongs to no room; add the room to the table in docs/ARCHITECTURE.md and here')
            continue
        checked += 1
        text = text_of(name) or ''
        for match in INCLUDE.finditer(text):
            problem = problem_with(name, room, match[1], match[2])
            if problem:
                problems.append(f'{name}:{text.count(chr(10), 0, match.start(2)) + 1}: {problem}')
    finish(problems, checked, 'sources')


if __name__ == '__main__':
    main()
