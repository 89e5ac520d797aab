#!/usr/bin/env python3
"""Runs one method of a file's unittest classes, for ctest, under the peers' Python if there is one.

    run_test.py --list FILE        prints Class.method (without "test_") of every test; imports nothing
    run_test.py FILE Class.method  runs it; exit code 77 when it was skipped, with the reason
"""

import ast
import importlib.util
import os
import pathlib
import sys
import unittest

SKIPPED = 77


def names(path):
    for node in ast.parse(pathlib.Path(path).read_text(encoding='utf-8')).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith('Test'):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name.startswith('test_'):
                    yield f'{node.name}.{member.name.removeprefix("test_")}'


def run(path, name):
    sys.path[:0] = [str(pathlib.Path(path).parent), str(pathlib.Path(__file__).parent)]
    spec = importlib.util.spec_from_file_location('test_under_way', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    suite, method = name.split('.')
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(getattr(module, suite)(f'test_{method}'))
    if not result.wasSuccessful():
        return 1
    for _, reason in result.skipped:
        print(f'skipped: {reason}')
    return SKIPPED if result.skipped else 0


if __name__ == '__main__':
    if sys.argv[1] == '--list':
        print('\n'.join(names(sys.argv[2])))
    else:
        sys.dont_write_bytecode = True
        os.umask(0o022)
        sys.exit(run(sys.argv[1], sys.argv[2]))
