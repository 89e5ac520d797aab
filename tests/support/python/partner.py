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

    def jwt_authority(self, name):
        """The JWK of a key for JWT-SVIDs (JWT-SVID §6.1)."""
        private = self._path(name, 'jwt.pem')
        if not private.exists():
            openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', private)
        return {'use': 'jwt-svid', 'kid': name, **self._public_key(private)}

    def _public_key(self, private):
        """The members of a JWK (RFC 7518 §6.2.1)."""
        public = private.with_suffix('.der')
        openssl('pkey', '-in', private, '-pubout', '-outform', 'DER', '-out', public)
        x, y = (base64.urlsafe_b64encode(number).rstrip(b'=').decode()
                for number in (public.read_bytes()[-64:-32], public.read_bytes()[-32:]))  # the point is last
        return {'kty': 'EC', 'crv': 'P-256', 'x': x, 'y': y}

    def _x509_authority(self, name):
        certificate = ssl.PEM_cert_to_DER_cert(self.authority(name))
        return {'use': 'x509-svid', **self._public_key(self._path(name, 'pem')), 'x5c': [base64.b64encode(certificate).decode()]}

    def document(self, *authorities, jwt=(), **more):
        """A SPIFFE bundle document (X509-SVID §6.1) of these authorities, and of keys for JWT-SVIDs."""
        keys = [self._x509_authority(name) for name in authorities] + [self.jwt_authority(name) for name in jwt]
        return json.dumps({'keys': keys, **more})


def put(path, text):
    """In one step, as a deployment tool does."""
    part = pathlib.Path(f'{path}.part')
    part.write_text(text, encoding='ascii')
    part.chmod(0o644)
    part.replace(path)
