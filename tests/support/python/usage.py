"""What a process uses: processor time to the nanosecond, resident and private memory."""

import pathlib
import time


def cpu_seconds(pid):
    """User and system time of all threads ever, from the kernel's scheduler (the process's CPU clock, clock_getcpuclockid(3))."""
    sched = 2
    return time.clock_gettime((~pid << 3) | sched)


def resident_bytes(pid):
    return _field(f'/proc/{pid}/smaps_rollup', 'Rss:')


def private_bytes(pid):
    """What would be free again if it ended: pages that nobody else has mapped."""
    return _field(f'/proc/{pid}/smaps_rollup', 'Private_Clean:') + _field(f'/proc/{pid}/smaps_rollup', 'Private_Dirty:')


def peak_bytes(pid):
    """The most that was resident since the start."""
    return _field(f'/proc/{pid}/status', 'VmHWM:')


def _field(path, name):
    text = pathlib.Path(path).read_text(encoding='ascii')
    return int(text.split(name, 1)[1].split()[0]) * 1024
