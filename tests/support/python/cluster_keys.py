"""The keys of a cluster, made when it is first started: one CA for the API server, the kubelet and their clients.

Everything is written into one directory, of root alone. Nothing of it leaves the state directory of its cluster.
"""

import json
import os
import subprocess

from cluster_node import ClusterError

DAYS = '30'


def make_keys(directory, server, servers, clients):
    """`servers`: by name of the files, the subject and the alternative names of a serving certificate, as openssl writes them;
    `clients`: by name of the user's NAME.conf, the subject. `server` is the API server's URL."""
    directory.mkdir(parents=True, mode=0o700)
    previous = os.umask(0o077)
    try:
        _openssl(directory, 'req', '-x509', *_new_key('ca'), '-out', 'ca.crt', '-days', DAYS, '-subj', '/CN=kubernetes')
        _openssl(directory, 'genrsa', '-out', 'sa.key', '2048')
        _openssl(directory, 'rsa', '-in', 'sa.key', '-pubout', '-out', 'sa.pub')
        for name, (subject, alternatives) in servers.items():
            _certificate(directory, name, subject, f'extendedKeyUsage=serverAuth\nsubjectAltName={alternatives}\n')
        for name, subject in clients.items():
            _certificate(directory, name, subject, 'extendedKeyUsage=clientAuth\n')
            (directory / f'{name}.conf').write_text(_kubeconfig(server, name), encoding='utf-8')
    finally:
        os.umask(previous)


def _new_key(name):
    return '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{name}.key'


def _openssl(directory, *arguments):
    done = subprocess.run(['openssl', *arguments], cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise ClusterError(f'make the keys of the cluster in {directory}: openssl {arguments[0]}: {done.stderr}')


def _certificate(directory, name, subject, extensions):
    (directory / f'{name}.ext').write_text(f'keyUsage=critical,digitalSignature\n{extensions}', encoding='ascii')
    _openssl(directory, 'req', *_new_key(name), '-out', f'{name}.csr', '-subj', subject)
    _openssl(directory, 'x509', '-req', '-in', f'{name}.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial',
             '-out', f'{name}.crt', '-days', DAYS, '-extfile', f'{name}.ext')
    for rest in ('csr', 'ext'):
        (directory / f'{name}.{rest}').unlink()


def _kubeconfig(server, name):
    """JSON is YAML. Its paths are relative to the file's own place."""
    return json.dumps({
        'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'cluster',
        'clusters': [{'name': 'cluster', 'cluster': {'server': server, 'certificate-authority': 'ca.crt'}}],
        'users': [{'name': name, 'user': {'client-certificate': f'{name}.crt', 'client-key': f'{name}.key'}}],
        'contexts': [{'name': 'cluster', 'context': {'cluster': 'cluster', 'user': name}}]}, indent=1)
