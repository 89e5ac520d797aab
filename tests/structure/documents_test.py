#!/usr/bin/env python3
"""The documents speak of what is there: tests and deviations named in docs/CONFORMANCE.md exist, and relative links resolve.

A row of a table in CONFORMANCE.md names tests as `Suite.Name` (GoogleTest's TEST(Suite, Name), or the method test_Name
of the Python class Suite) and files by their path from the root, and points to a deviation by a number that has one row.
"""

import pathlib
import re

from tree import ROOT, finish, text_of, tracked_files

GOOGLETEST = re.compile(r'^\s*(?:TYPED_)?TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)', re.MULTILINE)
PYTHON_CLASS = re.compile(r'^class (\w+)\(', re.MULTILINE)
PYTHON_METHOD = re.compile(r'^    def test_(\w+)\(', re.MULTILINE)
NAME = re.compile(r'`([A-Z]\w+\.\w+)`')
FILE = re.compile(r'`((?:tests|pki|attestors|node_agent|workload_api|deploy|docs)/[\w./-]*\.\w+)`')
DEVIATION, DEVIATION_ROW = re.compile(r'\bD\d+\b'), re.compile(r'^\| (D\d+) \|', re.MULTILINE)
LINK = re.compile(r'(?<!!)\[[^\]]*\]\(([^)\s]+)\)')
HEADING = re.compile(r'^#+\s+(.*?)\s*#*$', re.MULTILINE)
CODE = re.compile(r'^(```|~~~).*?^\1', re.MULTILINE | re.DOTALL)


def known_tests(files):
    names = set()
    for path in files:
        if not str(path).startswith('tests/'):
            continue
        if path.suffix == '.cc':
            names.update(f'{suite}.{name}' for suite, name in GOOGLETEST.findall(text_of(path) or ''))
        elif path.suffix == '.py':
            parts = PYTHON_CLASS.split(text_of(path) or '')[1:]
            for suite, body in zip(parts[::2], parts[1::2]):
                names.update(f'{suite}.{name}' for name in PYTHON_METHOD.findall(body))
    return names


def anchor(heading):
    """The id that a heading gets where Markdown is shown."""
    plain = re.sub(r'[`*]|\[([^\]]*)\]\([^)]*\)', r'\1', heading).strip().lower()
    return re.sub(r'[^\w\- ]', '', plain).replace(' ', '-')


def check_conformance(files, problems):
    text = text_of('docs/CONFORMANCE.md') if (ROOT / 'docs/CONFORMANCE.md').is_file() else None
    if text is None:
        problems.append('docs/CONFORMANCE.md: missing')
        return 0
    tests, checked = known_tests(files), 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith('|'):
            continue
        for name in NAME.findall(line):
            checked += 1
            if name not in tests:
                problems.append(f'docs/CONFORMANCE.md:{number}: there is no test {name}')
        for name in FILE.findall(line):
            checked += 1
            if not (ROOT / name).is_file():
                problems.append(f'docs/CONFORMANCE.md:{number}: there is no file {name}')
    return checked


def check_deviations(problems):
    text = text_of('docs/CONFORMANCE.md') or ''
    rows = DEVIATION_ROW.findall(text)
    problems.extend(f'docs/CONFORMANCE.md: {number} has {rows.count(number)} rows'
                    for number in sorted(set(rows) | set(DEVIATION.findall(text))) if rows.count(number) != 1)
    return len(rows)


def check_links(files, problems):
    checked = 0
    for path in files:
        if path.suffix != '.md':
            continue
        text = CODE.sub('', text_of(path) or '')
        for target in LINK.findall(text):
            if re.match(r'[a-z][a-z0-9+.-]*:', target):
                continue
            checked += 1
            where, _, fragment = target.partition('#')
            file = (ROOT / path.parent / where).resolve() if where else ROOT / path
            if not file.is_relative_to(ROOT) or not file.exists():
                problems.append(f'{path}: the link to {target} leads nowhere')
            elif fragment and file.suffix == '.md':
                linked = CODE.sub('', file.read_text(encoding='utf-8'))
                if fragment not in map(anchor, HEADING.findall(linked)):
                    problems.append(f'{path}: {pathlib.Path(where or path).name} has no heading for #{fragment}')
    return checked


def main():
    files, problems = tracked_files(), []
    checked = check_conformance(files, problems) + check_deviations(problems) + check_links(files, problems)
    finish(problems, checked, 'names and links')


if __name__ == '__main__':
    main()
