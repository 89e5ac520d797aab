"""Moves the wall clock of one agent, and of the programs that share its machine in a test, while they run.

libfaketime reads the offset from a file each time somebody asks for the time. The boot clock stays as it is, as when an
operator or NTP sets the wall clock: see tests/support/only_wall_clock.c.
"""

import pathlib
import platform
import time

from programs import preloadable

HOUR = 3600


def libfaketime():
    found = sorted(pathlib.Path('/usr/lib').glob('*/faketime/libfaketimeMT.so.1'))
    fitting = [path for path in found if platform.machine() in str(path)]
    return (fitting or found or [None])[0]


class WallClock:
    def __init__(self, node):
        library = libfaketime()
        if library is None:
            node.test.skipTest('libfaketime is not installed')
        self._file = node.dir / 'clock'
        self.offset = 0
        self.move_to(0)
        preload = f'{preloadable(node, "only_wall_clock")}:{library}'
        self._settings = {'FAKETIME_TIMESTAMP_FILE': str(self._file), 'FAKETIME_NO_CACHE': '1',
                          'FAKETIME_DONT_FAKE_MONOTONIC': '1'}
        node.preload = preload
        node.environment = {**node.environment, **self._settings}
        self._prefix = ['env', f'LD_PRELOAD={preload}', *(f'{name}={value}' for name, value in self._settings.items())]

    def move_to(self, offset):
        """So many seconds off the true time, from now on."""
        part = self._file.with_suffix('.part')
        part.write_text(f'{offset:+d}\n', encoding='ascii')
        part.chmod(0o644)
        part.replace(self._file)
        self.offset = offset

    def now(self):
        return time.time() + self.offset

    def by_it(self, *command):
        """The command line of a program that goes by this clock."""
        return [*self._prefix, *command]
