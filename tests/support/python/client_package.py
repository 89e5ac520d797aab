"""The C++ client library as it is installed from the build directory, and programs that are built on it.

All tests share one prefix and one build, made anew only where something changed; whoever is in `locked()` has them alone.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import subprocess

from node import BUILD, ROOT

HOME = BUILD / 'client_package'
PREFIX = HOME / 'prefix'
PAGE = ROOT / 'docs/CLIENTS.md'
BLOCK = re.compile(r'^`(\S+)`:\n\n```\w+\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def page_files(*suffixes):
    """The files that docs/CLIENTS.md shows: each block that has its name before it."""
    return {name: text for name, text in BLOCK.findall(PAGE.read_text(encoding='utf-8')) if name.endswith(suffixes)}


@contextlib.contextmanager
def locked():
    HOME.mkdir(exist_ok=True)
    with open(HOME / 'lock', 'wb') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command, **environment):
    """What the program printed; it must end well."""
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, env={**os.environ, **environment})
    if done.returncode != 0:
        raise AssertionError(f'{" ".join(map(str, command))} ended with {done.returncode}:\n{done.stdout}')
    return done.stdout


def install(component, prefix):
    """Installs one component; the files that it consists of."""
    shutil.rmtree(prefix, ignore_errors=True)
    run('cmake', '--install', BUILD, '--component', component, '--prefix', prefix)
    return sorted(path.relative_to(prefix) for path in prefix.rglob('*') if path.is_file())


def write_if_new(path, text):
    if not path.exists() or path.read_text(encoding='utf-8') != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding='utf-8')


def built():
    """The directory of the programs in C++ that docs/CLIENTS.md shows, built against the installed package as it says."""
    with locked():
        install('client', PREFIX)
        for name, text in page_files('.cc', 'CMakeLists.txt').items():
            write_if_new(HOME / 'page' / name, text)
        run('cmake', '-S', HOME / 'page', '-B', HOME / 'build', '-G', 'Ninja', f'-DCMAKE_PREFIX_PATH={PREFIX}')
        run('cmake', '--build', HOME / 'build')
    return HOME / 'build'


def built_by_pkg_config(name):
    """One of these programs, built with what pkg-config says and nothing else."""
    program = HOME / f'{name}-by-pkg-config'
    with locked():
        install('client', PREFIX)
        flags = run('pkg-config', '--cflags', '--libs', '--static', 'lanyard-client', PKG_CONFIG_PATH=str(PREFIX / 'lib/pkgconfig'))
        source = pathlib.Path(HOME / f'{name}.cc')
        write_if_new(source, page_files('.cc')[f'{name}.cc'])
        run('g++', '-std=c++20', source, *flags.split(), '-o', program)
    return program
