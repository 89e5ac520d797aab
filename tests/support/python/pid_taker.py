"""A process that exits while it is being attested, and another that takes its pid at once.

    pid_taker.py SOCKET CGROUP…

Starts `raw_call.py hand_over SOCKET` and prints its pid. At a line on stdin lets it exit, starts a process with the same pid
in those cgroups, and prints that too ("taken"). At another line prints the answer that the child of the first got, and
stops the second. Needs root.
"""

import ctypes
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys

CLONE3 = 435  # the same number on all architectures


def fork_as(pid):
    """fork(), with the pid given (clone3(2), set_tid)."""
    wanted = (ctypes.c_int * 1)(pid)
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size
    arguments = struct.pack('=10Q', 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1)
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.syscall(CLONE3, arguments, len(arguments))
    if made < 0:
        raise OSError(ctypes.get_errno(), 'clone3 with a pid of our choice')
    return made


def main(path, cgroups):
    program = pathlib.Path(__file__).parent / 'raw_call.py'
    first = subprocess.Popen([sys.executable, '-B', program, 'hand_over', path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)
    print(json.dumps({'pid': first.pid}), flush=True)
    sys.stdin.readline()
    first.stdin.write('\n')
    first.stdin.flush()
    first.wait()
    second = fork_as(first.pid)
    if second == 0:
        for cgroup in cgroups:
            (pathlib.Path(cgroup) / 'cgroup.procs').write_text('0', encoding='ascii')
        print(json.dumps({'taken': os.getpid()}), flush=True)
        signal.pause()
    sys.stdin.readline()
    print(first.stdout.read(), end='', flush=True)
    os.kill(second, signal.SIGKILL)
    os.waitpid(second, 0)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
