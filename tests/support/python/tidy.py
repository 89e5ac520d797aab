#!/usr/bin/env python3
"""What tests/tidy.sh does: clang-tidy over tracked files, one on each processor, and not over what is known to be clean.

    tidy.py CACHE BUILD[:BUILD…] [FILE-OR-DIRECTORY…]
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
TIDY = 'clang-tidy-16'
ELSEWHERE = 'workload_api/client/examples/'  # programs on the installed library: no build here compiles them
# The builds are GCC's, which has warnings of its own.
EXTRA = ['--extra-arg=-Wno-unknown-warning-option']


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def tracked(wanted):
    # safe.directory: where a container builds a checkout of another user.
    names = output_of('git', '-c', 'safe.directory=*', 'ls-files', '--', *(wanted or ['.'])).splitlines()
    return [name for name in names if name.endswith('.cc') and not name.startswith(ELSEWHERE) and (ROOT / name).exists()]


class Build:
    """One compile_commands.json, and which headers each object was made from."""

    def __init__(self, path):
        self.path = (ROOT / path).resolve()
        self.commands = {}
        for command in json.loads((self.path / 'compile_commands.json').read_text(encoding='utf-8')):
            self.commands.setdefault(os.path.relpath(command['file'], ROOT), command)
        self.headers = {}
        target = None
        for line in output_of('ninja', '-C', str(self.path), '-t', 'deps').splitlines():
            if line and not line.startswith((' ', 'ninja:')):
                target = self.headers.setdefault(line.split(': #')[0], [])
            elif line and target is not None:
                target.append(line.strip())

    def key(self, name, common):
        """A digest of all that clang-tidy's answer depends on; None where the build does not know what the file includes."""
        command = self.commands[name]
        # CMake 3.25 gives no `output`.
        headers = self.headers.get(command['command'].partition(' -o ')[2].partition(' ')[0])
        if not headers:
            return None
        digest = hashlib.sha256(common)
        options = command['command'].replace(str(self.path), 'BUILD').replace(str(ROOT), 'ROOT')
        digest.update(options.encode())
        for header in sorted(set(headers)):
            path = self.path / header
            if path.is_relative_to(ROOT) or path.is_relative_to(self.path):
                digest.update(os.path.relpath(path, ROOT if path.is_relative_to(ROOT) else self.path).encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest() if path.exists() else b'gone')
        return digest.hexdigest()


def common_digest():
    """What every answer depends on: the tool, its settings, and the system's headers by their packages."""
    digest = hashlib.sha256(output_of(TIDY, '--version').encode())
    digest.update((ROOT / '.clang-tidy').read_bytes())
    packages = output_of('deploy/packages.sh', 'list', 'test').split()
    about = subprocess.run(['dpkg-query', '-W', *packages], check=False, capture_output=True, text=True, cwd=ROOT)
    digest.update(about.stdout.encode())
    return digest.digest()


def look_at(name, build):
    done = subprocess.run(['nice', TIDY, '-p', build.path, '--quiet', *EXTRA, name], check=False, capture_output=True, text=True,
                          cwd=ROOT)
    errors = '' if done.returncode == 0 else done.stderr
    return done.returncode, done.stdout + '\n'.join(
        line for line in errors.splitlines() if 'error' in line and not line.endswith('generated.'))


def main():
    cache = pathlib.Path(sys.argv[1])
    builds = [Build(path) for path in sys.argv[2].split(':')]
    cache.mkdir(parents=True, exist_ok=True)
    common = common_digest()
    clean, unknown, todo = 0, [], []
    for name in tracked(sys.argv[3:]):
        build = next((build for build in builds if name in build.commands), None)
        if build is None:
            unknown.append(name)
            continue
        key = build.key(name, common)
        stamp = key and cache / key
        if stamp and stamp.exists():
            stamp.touch()
            clean += 1
        else:
            todo.append((name, build, stamp))
    print(f'tidy: {clean} files known to be clean, {len(todo)} to look at', flush=True)
    begin, bad = time.monotonic(), []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = {pool.submit(look_at, name, build): (name, stamp) for name, build, stamp in todo}
        for job in concurrent.futures.as_completed(jobs):
            name, stamp = jobs[job]
            code, text = job.result()
            if code == 0:
                if stamp:
                    stamp.touch()
                continue
            bad.append(name)
            print(f'tidy: {name}\n{text}', flush=True)
    for name in unknown:
        print(f'tidy: {name}: no build compiles it')
    print(f'tidy: {len(bad)} of {len(todo)} files have findings ({time.monotonic() - begin:.0f} s)')
    old = time.time() - 30 * 24 * 3600
    for stamp in cache.iterdir():
        if stamp.stat().st_mtime < old:
            stamp.unlink()
    return 1 if bad or unknown else 0


if __name__ == '__main__':
    sys.exit(main())
