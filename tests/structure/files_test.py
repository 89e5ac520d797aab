#!/usr/bin/env python3
"""Rules for every tracked file: no private key, no trailing white space, and no long file without a reason.

A seed of a fuzz target is bytes as some program wrote them, often with white space at the end of a line or without a last
newline; of these rules only the one about private keys holds for it.

Reasons are in long_files.txt beside this file, one `path: reason` a line; a reason for a file that is not long any more
is reported, so that the list stays true.
"""

import pathlib
import re

from tree import finish, text_of, tracked_files

MAX_LINES = 350
SOURCES = {'.h', '.cc', '.py', '.sh', '.go', '.proto', '.cmake'}
# A PEM header with key material behind it; also inside a string literal.
PRIVATE_KEY = re.compile(r'BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[\s"\\nr]*[A-Za-z0-9+/=]{40}')
SEEDS = 'tests/fuzz/corpus/'
KEY_FILES = {'.key', '.p12', '.pfx', '.jks', '.keytab'}


def reasons():
    listed = {}
    for line in (pathlib.Path(__file__).parent / 'long_files.txt').read_text(encoding='utf-8').splitlines():
        if line and not line.startswith('#'):
            path, _, reason = line.partition(':')
            listed[path] = reason.strip()
    return listed


def main():
    files, problems, listed = tracked_files(), [], reasons()
    for path in files:
        if path.suffix in KEY_FILES:
            problems.append(f'{path}: looks like a private key; tests make their keys when they run')
        text = text_of(path)
        if text is None:
            continue
        if PRIVATE_KEY.search(text):
            problems.append(f'{path}: holds a private key; tests make their keys when they run')
        if str(path).startswith(SEEDS):
            continue
        lines = text.splitlines()
        problems.extend(f'{path}:{number}: white space at the end of the line'
                        for number, line in enumerate(lines, 1) if line != line.rstrip() and path.suffix != '.patch')
        if text and not text.endswith('\n'):
            problems.append(f'{path}: the last line does not end')
        if path.suffix in SOURCES and len(lines) > MAX_LINES and not listed.pop(str(path), ''):
            problems.append(f'{path}: {len(lines)} lines; split it, or say in long_files.txt why it is one idea')
    problems.extend(f'long_files.txt: {path} is not over {MAX_LINES} lines, remove it' for path in listed)
    finish(problems, len(files), 'files')


if __name__ == '__main__':
    main()
