"""Stands in for systemd: hears what an agent says on NOTIFY_SOCKET, and passes listening sockets to it."""

import os
import re
import socket
import subprocess
import sys
import textwrap
import time

from process import scaled

# The service finds the sockets from descriptor 3 on; LISTEN_PID has to be its own.
ACTIVATOR = textwrap.dedent('''
    import os, sys
    names, fds, command = sys.argv[1].split(':'), [int(fd) for fd in sys.argv[2].split(',')], sys.argv[3:]
    high = [os.dup2(fd, 100 + index, inheritable=True) for index, fd in enumerate(fds)]
    for index, fd in enumerate(high):
        os.dup2(fd, 3 + index, inheritable=True)
        os.close(fd)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=':'.join(names))
    os.execv(command[0], command)
''')


class NotifySocket:
    """Every message as the list of its lines."""

    def __init__(self, node):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        node.test.addCleanup(self.socket.close)
        path = node.dir / 'notify.sock'
        self.socket.bind(str(path))
        node.environment = {**node.environment, 'NOTIFY_SOCKET': str(path)}

    def next(self, seconds=10):
        """The next message, or a failure."""
        self.socket.settimeout(scaled(seconds))
        try:
            return self.socket.recv(65536).decode('utf-8').split('\n')
        except TimeoutError:
            raise AssertionError(f'the agent said nothing for {scaled(seconds):.0f} s') from None

    def until(self, pattern, seconds=10):
        """Reads on until a line matches; that line, and the messages before it."""
        before, deadline = [], time.monotonic() + scaled(seconds)
        while True:
            message = self.next(max(0.001, (deadline - time.monotonic()) / 2))
            for line in message:
                if re.fullmatch(pattern, line):
                    return line, before
            before.append(message)

    def heard_for(self, seconds):
        """The messages of so many seconds, exactly."""
        heard, deadline = [], time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0:
            self.socket.settimeout(rest)
            try:
                heard.append(self.socket.recv(65536).decode('utf-8').split('\n'))
            except (TimeoutError, BlockingIOError):
                break
        return heard

    def forget(self):
        """Drops what has been said so far."""
        self.heard_for(0.001)
        while self.heard_for(0.01):
            pass


def listening(test, path, mode=0o777, kind=socket.SOCK_STREAM):
    """A socket as a socket unit makes it."""
    made = socket.socket(socket.AF_UNIX, kind)
    test.addCleanup(made.close)
    path.parent.mkdir(mode=0o755, exist_ok=True)
    made.bind(str(path))
    path.chmod(mode)
    if kind == socket.SOCK_STREAM:
        made.listen(64)
    return made


def launch_with(node, **sockets):
    """Starts the agent without waiting for it, with sockets by name (a list: several of that name)."""
    passed = [(name, one) for name, some in sockets.items() for one in (some if isinstance(some, list) else [some])]
    with open(node.log, 'ab') as log:
        node.process = subprocess.Popen(
            [sys.executable, '-c', ACTIVATOR, ':'.join(name for name, _ in passed),
             ','.join(str(one.fileno()) for _, one in passed), node.binary, 'agent', '--config', node.config],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd='/', pass_fds=[one.fileno() for _, one in passed],
            env={**os.environ, 'NOTIFY_SOCKET': '', **node.environment})
    return node
