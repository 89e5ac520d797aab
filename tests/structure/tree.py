"""What the structural tests share: the tracked files, and a way to report everything that is wrong at once."""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
GENERATED = {'build', '.cache', '.git', '__pycache__'}


def tracked_files():
    """Paths relative to the root of every tracked or not yet tracked, not ignored file that exists, sorted."""
    listing = subprocess.run(
        ['git', '-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
        cwd=ROOT, capture_output=True, check=False)
    if listing.returncode == 0:
        names = [name for name in listing.stdout.decode().split('\0') if name]
    else:  # an unpacked archive: everything that is not generated
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob('*')
                 if not GENERATED.intersection(path.relative_to(ROOT).parts)]
    return sorted(path for path in map(pathlib.PurePosixPath, set(names)) if (ROOT / path).is_file())


def text_of(path):
    """The file's text, or None where it is not UTF-8."""
    try:
        return (ROOT / path).read_text(encoding='utf-8')
    except UnicodeDecodeError:
        return None


def find(program, problems, path=None):
    """Where a program is, or None where it is not here; in a full run (LANYARD_FULL=1) that is a problem."""
    found = shutil.which(program, path=path)
    if found is None:
        print(f'{program} is not here: not asked')
        if os.environ.get('LANYARD_FULL') == '1':
            problems.append(f'{program} is not here, and LANYARD_FULL is 1')
    return found


def finish(problems, checked, what):
    """Prints every problem and ends the test. Having checked nothing is a problem, too."""
    if not checked:
        problems = [*problems, 'found nothing to check: is this run from a complete tree?']
    for problem in problems:
        print(problem)
    print(f'{checked} {what} checked, {len(problems)} problems')
    sys.exit(1 if problems else 0)
