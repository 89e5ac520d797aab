"""Small file systems of a test's own, that it can fill, write-protect and take away."""

import subprocess

from programs import preloadable


class SmallDisk:
    """A tmpfs of so many MiB at `path`, unmounted when the test ends. Root only."""

    def __init__(self, test, path, mebibytes):
        self.path, self.ballast = path, path / 'ballast'
        path.mkdir(mode=0o700)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={mebibytes}m,mode=0700', 'tmpfs', path], check=True, capture_output=True)
        # Lazily: an agent that a failed test leaves behind is ended later.
        test.addCleanup(subprocess.run, ['umount', '-l', path], check=False, capture_output=True)

    def fill(self):
        """Until not one more block is free. As a log or a download of somebody else would."""
        with open(self.ballast, 'ab', buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass
        return self

    def make_room(self):
        self.ballast.unlink()

    def remount(self, how):
        """'ro' or 'rw', while nobody has a file open for writing."""
        subprocess.run(['mount', '-o', f'remount,{how}', self.path], check=True, capture_output=True)


class FailingDisk:
    """Makes the data directory read-only under a running agent, as the kernel does after an error; to be made before its start."""

    def __init__(self, node):
        self._flag = node.dir / 'read-only'
        node.preload = preloadable(node, 'kill_at')
        node.environment = {'LANYARD_KILL_UNDER': str(node.data), 'LANYARD_READ_ONLY_WHEN': str(self._flag)}

    def make_read_only(self):
        self._flag.touch()

    def make_writable(self):
        self._flag.unlink()
