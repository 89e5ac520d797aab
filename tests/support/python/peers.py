"""Where other people's programs are, as tests/peers.sh makes them."""

import os
import pathlib
import subprocess

_HERE = pathlib.Path(__file__).resolve().parent
PEERS = pathlib.Path(os.environ.get('LANYARD_PEERS') or subprocess.run(
    [_HERE.parents[1] / 'peers.sh', 'where'], capture_output=True, text=True, check=True).stdout.strip())
