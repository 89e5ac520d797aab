"""Container images made here, so that none is pulled: archives as `docker save` writes them, which `ctr images import` reads."""

import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import tarfile


def directory_layer(path, root):
    """Writes the layer in which the files of the directory `root`, as root's own, are at /."""
    subprocess.run(['tar', '--directory', root, '--create', '--file', path, '--owner=0', '--group=0', '--numeric-owner', '.'],
                   check=True)


def busybox_root(root):
    """Fills a new directory with a static busybox under all its names, and the places that a container mounts things on."""
    for name in ('bin', 'dev', 'etc', 'proc', 'run', 'sys', 'tmp', 'usr'):
        (root / name).mkdir(parents=True)
    (root / 'tmp').chmod(0o1777)
    shutil.copy(shutil.which('busybox'), root / 'bin/busybox')
    applets = subprocess.run(['busybox', '--list'], capture_output=True, text=True, check=True).stdout.split()
    for applet in set(applets) - {'busybox'}:
        (root / 'bin' / applet).symlink_to('busybox')
    for name in ('lib', 'lib64'):
        (root / name).symlink_to(f'usr/{name}')
    (root / 'etc/passwd').write_text('root:x:0:0::/:/bin/sh\n', encoding='ascii')


def write_archive(path, name, layers, config):
    """An archive of the image `name` out of layers (uncompressed tar files, the lowest first); `config` is how its containers run
    ("Env", "Entrypoint", …). Returns the digest of its configuration."""
    digests = [_sha256(layer) for layer in layers]
    architecture = subprocess.run(['dpkg', '--print-architecture'], capture_output=True, text=True, check=True).stdout.strip()
    text = json.dumps({
        'architecture': architecture, 'os': 'linux', 'created': '2026-01-01T00:00:00Z', 'config': config,
        'rootfs': {'type': 'layers', 'diff_ids': [f'sha256:{digest}' for digest in digests]}}).encode()
    digest = hashlib.sha256(text).hexdigest()
    places = [f'{one}/layer.tar' for one in digests]
    manifest = json.dumps([{'Config': f'{digest}.json', 'RepoTags': [name], 'Layers': places}]).encode()
    with tarfile.open(path, 'w') as tar:
        for place, content in ((f'{digest}.json', text), ('manifest.json', manifest)):
            entry = tarfile.TarInfo(place)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for place, layer in dict(zip(places, layers)).items():
            tar.add(layer, place)
    return f'sha256:{digest}'


def _sha256(path):
    with pathlib.Path(path).open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
