"""The programs of this directory as commands that every user can run, and the libraries of tests/support: made beside the node that
uses them."""

import pathlib
import shutil
import subprocess
import sys

from process import sanitized, scaled

HERE = pathlib.Path(__file__).parent
# The system's own, which every user can run; the one that runs the tests may lie in somebody's home.
PYTHON = next(path for path in ('/usr/bin/python3', sys.executable) if pathlib.Path(path).exists())


def stream_program(node):
    return _program(node, 'svid_stream.py', 'raw_call.py')


def loyal_client_program(node):
    return _program(node, 'loyal_client.py', 'svid_stream.py', 'raw_call.py')


def flood_program(node):
    return _program(node, 'flood.py', 'raw_call.py')


def call_flood_program(node):
    return _program(node, 'call_flood.py', 'raw_call.py')


def _program(node, *files):
    for file in files:
        if not (node.dir / file).exists():
            shutil.copy(HERE / file, node.dir / file)
            (node.dir / file).chmod(0o644)
    return [PYTHON, '-B', node.dir / files[0]]


def preloadable(node, name):
    """NAME.c as a library to be preloaded into an agent."""
    if sanitized():
        node.test.skipTest('a preloaded library and a sanitizer do not go together')
    library = node.dir / f'{name}.so'
    subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-o', library, HERE.parent / f'{name}.c', '-ldl'], check=True, timeout=scaled(60))
    return library
