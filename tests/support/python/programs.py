"""The programs of this directory as commands that every user can run: copied beside the node that they call."""

import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).parent


def stream_program(node):
    return _program(node, 'svid_stream.py', 'raw_call.py')


def flood_program(node):
    return _program(node, 'flood.py', 'raw_call.py')


def _program(node, *files):
    for file in files:
        if not (node.dir / file).exists():
            shutil.copy(HERE / file, node.dir / file)
            (node.dir / file).chmod(0o644)
    return [sys.executable, '-B', node.dir / files[0]]
