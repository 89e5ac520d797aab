#!/usr/bin/env python3
"""The systemd units: no option that would give the agent a namespace of its own, and systemd itself takes them.

The agent believes the path of a caller's executable only in its own mount namespace, so an option such as
ProtectSystem= would silently take `path` selectors from every workload of the machine.
"""

import pathlib
import re
import subprocess
import tempfile

from tree import ROOT, find, finish

UNITS = ROOT / 'deploy/systemd'
# systemd.exec(5): each of these makes a mount namespace, or another one that `process:ns` compares with ours.
NAMESPACES = re.compile(
    r'^(Protect(System|Home|Proc|KernelTunables|KernelModules|KernelLogs|ControlGroups|Hostname)|ProcSubset|'
    r'Private(Tmp|Devices|Network|Users|Mounts|IPC)|DynamicUser|RootDirectory|RootImage|MountAPIVFS|MountImages|'
    r'ExtensionImages|ExtensionDirectories|BindPaths|BindReadOnlyPaths|ReadWritePaths|ReadOnlyPaths|'
    r'InaccessiblePaths|ExecPaths|NoExecPaths|TemporaryFileSystem|NetworkNamespacePath|IPCNamespacePath|'
    r'LogNamespace)=', re.MULTILINE)


def settings(text):
    return dict(line.split('=', 1) for line in text.splitlines() if '=' in line and not line.startswith('#'))


def check_agreement(service, socket, problems):
    """What the agent insists on when it adopts the socket."""
    expected = {'ListenStream': '/run/lanyard/workload.sock', 'FileDescriptorName': 'workload', 'SocketMode': '0777'}
    for key, value in expected.items():
        if settings(socket).get(key) != value:
            problems.append(f'lanyard.socket: {key} is not {value}')
    if settings(service).get('Type') != 'notify':
        problems.append('lanyard.service: Type is not notify')
    return len(expected) + 1


def check_with_systemd(problems):
    if find('systemd-analyze', problems) is None:
        return 0
    with tempfile.TemporaryDirectory() as directory:
        copies = []
        for unit in sorted(UNITS.glob('lanyard.*')):
            copy = pathlib.Path(directory, unit.name)
            # The program need not be installed where the tests run.
            copy.write_text(re.sub(r'^ExecStart=.*$', 'ExecStart=/bin/true', unit.read_text(encoding='utf-8'),
                                   flags=re.MULTILINE), encoding='utf-8')
            copies.append(str(copy))
        verified = subprocess.run(['systemd-analyze', 'verify', *copies], capture_output=True, text=True, check=False)
    ours = [line for line in verified.stderr.splitlines() if 'lanyard' in line]
    problems.extend(f'systemd-analyze verify: {line}' for line in ours)
    return 1


def main():
    service, socket = ((UNITS / name).read_text(encoding='utf-8') for name in ('lanyard.service', 'lanyard.socket'))
    problems = [f'lanyard.service: {match.group(0)} gives the agent a namespace of its own'
                for match in NAMESPACES.finditer(service)]
    checked = 1 + check_agreement(service, socket, problems) + check_with_systemd(problems)
    finish(problems, checked, 'rules for units')


if __name__ == '__main__':
    main()
