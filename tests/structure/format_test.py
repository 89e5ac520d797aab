#!/usr/bin/env python3
"""Every C++ file is as clang-format lays it out by .clang-format."""

import subprocess

from tree import ROOT, finish, tracked_files

FORMATTER = 'clang-format-16'  # CONTRIBUTING.md; another version lays some lines out otherwise


def main():
    sources = [str(path) for path in tracked_files() if path.suffix in {'.cc', '.h'}]
    done = subprocess.run([FORMATTER, '--dry-run', '-Werror', *sources], cwd=ROOT, capture_output=True, text=True, check=False)
    problems = [line for line in done.stderr.splitlines() if ': error: ' in line]
    if done.returncode and not problems:
        problems = [f'{FORMATTER} ended with {done.returncode}: {done.stderr.strip()}']
    finish(problems, len(sources), 'files')


if __name__ == '__main__':
    main()
