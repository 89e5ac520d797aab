#!/usr/bin/env python3
"""The manifests for Kubernetes: what docs/KUBERNETES.md promises of them, and kustomize itself takes them.

The agent has no capability; the admin socket's directory is on no volume that another pod could mount; workloads mount the
socket's directory read-only; every package of the images stands in deploy/packages.sh.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from tree import ROOT, find, finish

sys.path.append(str(ROOT / 'tests/support/python'))
from peers import PEERS  # noqa: E402

KUBERNETES = ROOT / 'deploy/kubernetes'
MIGHTY = re.compile(r'privileged: true|hostNetwork: true|allowPrivilegeEscalation: true|\badd: *\[|^ *add: *$', re.MULTILINE)
HOST_PATH = re.compile(r'hostPath: \{path: ([^,}]+)')
# Everything that the agent has of its node: its own data, the socket's directory, the cgroups to look at.
AGENTS_HOST_PATHS = {'/var/lib/lanyard', '/run/lanyard', '/sys/fs/cgroup'}
MOUNT = re.compile(r'\{name: (\w+), mountPath: ([^,}]+)[^}]*\}')


def text(path):
    return (KUBERNETES / path).read_text(encoding='utf-8')


def check_agent(problems):
    daemonset = text('standalone/daemonset.yaml')
    problems.extend(f'daemonset.yaml: "{match.group(0).strip()}" makes the agent mightier than it must be' for match in MIGHTY.finditer(daemonset))
    if 'capabilities: {drop: [ALL]}' not in daemonset:
        problems.append('daemonset.yaml: not all capabilities are dropped')
    if (found := set(HOST_PATH.findall(daemonset))) != AGENTS_HOST_PATHS:
        problems.append(f'daemonset.yaml: its host paths are {sorted(found)}, not {sorted(AGENTS_HOST_PATHS)}')
    if 'emptyDir' not in daemonset or '{name: run, mountPath: /run}' not in daemonset:
        problems.append('daemonset.yaml: /run, where the admin socket is, is not a volume of the pod alone')
    return 4


def check_workloads(problems):
    checked = 0
    for path in sorted((KUBERNETES / 'sample').glob('*.yaml')):
        manifest = path.read_text(encoding='utf-8')
        problems.extend(f'{path.name}: "{match.group(0).strip()}" is nothing that a workload needs' for match in MIGHTY.finditer(manifest))
        for mount in MOUNT.finditer(manifest):
            checked += 1
            if 'readOnly: true' not in mount.group(0):
                problems.append(f'{path.name}: {mount.group(2)} is mounted writable')
        problems.extend(f'{path.name}: mounts {host} of the node' for host in HOST_PATH.findall(manifest) if host != '/run/lanyard')
    return checked


def check_packages(problems):
    for name in ('Dockerfile', 'image.sh'):
        content = (ROOT / 'deploy' / name).read_text(encoding='utf-8')
        if re.search(r'apt-get|apt install', content) or 'packages.sh' not in content:
            problems.append(f'deploy/{name}: installs packages that deploy/packages.sh does not list')
    return 2


def check_with_kustomize(problems):
    kubectl = find('kubectl', problems, f'{PEERS}/bin:{os.environ["PATH"]}')
    if kubectl is None:
        return 0
    components = sorted(path.parent for path in KUBERNETES.glob('components/*/kustomization.yaml'))
    with tempfile.TemporaryDirectory() as overlay:
        here = os.path.relpath(KUBERNETES, os.path.realpath(overlay))  # kustomize takes relative paths only
        lines = [f'resources: [{here}/{name}]\n' for name in ('standalone', 'sample')]
        lines += [f'resources: [{here}/standalone]\ncomponents: [{here}/components/{path.name}]\n' for path in components]
        for line in lines:
            pathlib.Path(overlay, 'kustomization.yaml').write_text(line, encoding='utf-8')
            built = subprocess.run([kubectl, 'kustomize', overlay], capture_output=True, text=True, check=False)
            if built.returncode != 0 or 'kind: DaemonSet' not in built.stdout:
                problems.append(f'kubectl kustomize of "{line.strip()}": {built.stderr.strip()}')
    return len(lines)


def main():
    problems = []
    checked = check_agent(problems) + check_workloads(problems) + check_packages(problems) + check_with_kustomize(problems)
    finish(problems, checked, 'rules for manifests')


if __name__ == '__main__':
    main()
