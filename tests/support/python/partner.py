"""A trust domain that is not ours, made by the openssl command: its authorities, its bundle document, its members."""

import base64
import json
import pathlib
import ssl
import subprocess


def openssl(*arguments):
    done = subprocess.run(['openssl', *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


class Partner:
    """Authorities by name, in a directory of their own."""

    def __init__(self, directory, trust_domain='partner.example'):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(exist_ok=True)
        self.trust_domain = trust_domain

    def _path(self, name, kind):
        return self.dir / f'{self.trust_domain}-{name}.{kind}'

    def authority(self, name):
        """The PEM of a self-signed CA certificate."""
        certificate = self._path(name, 'crt')
        if not certificate.exists():
            openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', 2,
                    '-keyout', self._path(name, 'pem'), '-out', certificate, '-subj', f'/O={self.trust_domain}/CN={name}',
                    '-addext', 'keyUsage=critical,keyCertSign,cRLSign',
                    '-addext', f'subjectAltName=URI:spiffe://{self.trust_domain}')
        return certificate.read_text(encoding='ascii')

    def member(self, path, authority):
        """The file of an X.509-SVID of this trust domain."""
        self.authority(authority)
        request, extensions, leaf = (self._path('member', kind) for kind in ('csr', 'ext', 'leaf'))
        openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/O=Member',
                '-keyout', self._path('member', 'pem'), '-out', request)
        extensions.write_text(f'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n'
                              f'extendedKeyUsage=serverAuth,clientAuth\n'
                              f'subjectAltName=URI:spiffe://{self.trust_domain}{path}\n', encoding='ascii')
        openssl('x509', '-req', '-in', request, '-CA', self._path(authority, 'crt'), '-CAkey', self._path(authority, 'pem'),
                '-set_serial', '7', '-days', 1, '-extfile', extensions, '-out', leaf)
        return leaf

    def document(self, *authorities, **more):
        """A SPIFFE bundle document (X509-SVID §6.1) of these authorities."""
        keys = [{'use': 'x509-svid', 'kty': 'EC',
                 'x5c': [base64.b64encode(ssl.PEM_cert_to_DER_cert(self.authority(name))).decode()]} for name in authorities]
        return json.dumps({'keys': keys, **more})


def put(path, text):
    """In one step, as a deployment tool does."""
    part = pathlib.Path(f'{path}.part')
    part.write_text(text, encoding='ascii')
    part.chmod(0o644)
    part.replace(path)
