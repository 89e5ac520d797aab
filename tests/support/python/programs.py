"""The programs of this directory as commands that every user can run: copied beside the node that they call."""

import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).parent
# The system's own, which every user can run; the one that runs the tests may lie in somebody's home.
PYTHON = next(path for path in ('/usr/bin/python3', sys.executable) if pathlib.Path(path).exists())


def stream_program(node):
    return _program(node, 'svid_stream.py', 'raw_call.py')


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
