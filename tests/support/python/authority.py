"""A certificate authority run by the openssl program, in a directory of its own: roots, intermediates, leaves, revocation lists."""

import subprocess

CA_EXTENSIONS = ('basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n'
                 'authorityKeyIdentifier=keyid\n')
SVID_EXTENSIONS = ('basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n'
                   'extendedKeyUsage=serverAuth,clientAuth\nauthorityKeyIdentifier=keyid\n')


def openssl(*arguments, cwd=None):
    """How the program ended, with what it printed."""
    return subprocess.run(['openssl', *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, cwd=cwd)


class OpensslAuthority:
    def __init__(self, directory):
        self.dir = directory
        self.dir.mkdir(mode=0o755)
        self.serial = 0x1000

    def run(self, *arguments):
        done = openssl(*arguments, cwd=self.dir)
        if done.returncode != 0:
            raise AssertionError(f'openssl {arguments}: {done.stdout}{done.stderr}')
        return done.stdout

    def certify(self, name, issuer=None, subject=None):
        """NAME.key (0600) and NAME.crt of an authority, signed by ISSUER.key or by itself."""
        return self._sign(name, issuer, CA_EXTENSIONS, subject or f'/O=Upstream/CN={name}', 30)

    def issue(self, name, issuer, names, extensions=SVID_EXTENSIONS, days=1):
        """The same of a leaf; `names` as in openssl's subjectAltName, empty for none. It has expired when `days` is negative."""
        names = f'subjectAltName={names}\n' if names else ''
        return self._sign(name, issuer, extensions + names, f'/O=Leaf/CN={name}', days)

    def _sign(self, name, issuer, extensions, subject, days):
        self.serial += 1
        (self.dir / f'{name}.ext').write_text(extensions, encoding='utf-8')
        self.run('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', f'{name}.key')
        (self.dir / f'{name}.key').chmod(0o600)
        self.run('req', '-new', '-key', f'{name}.key', '-subj', subject, '-out', f'{name}.csr')
        signer = ['-CA', f'{issuer}.crt', '-CAkey', f'{issuer}.key'] if issuer else ['-signkey', f'{name}.key']
        self.run('x509', '-req', '-in', f'{name}.csr', *signer, '-set_serial', f'{self.serial:#x}', '-days', days,
                 '-extfile', f'{name}.ext', '-out', f'{name}.crt')
        return self.dir / f'{name}.crt'

    def serial_of(self, name):
        return self.run('x509', '-in', f'{name}.crt', '-noout', '-serial').strip().split('=')[1]

    def list_revoked(self, issuer, serials=(), dates=('-crldays', 30)):
        """ISSUER.crl: these serial numbers (hex) are revoked. Replaced in one step."""
        rows = (f'R\t491231235959Z\t260101000000Z\t{serial}\tunknown\t/CN=revoked\n' for serial in serials)
        (self.dir / 'index').write_text(''.join(rows), encoding='utf-8')
        if not (self.dir / 'number').exists():
            (self.dir / 'number').write_text('01\n', encoding='utf-8')
        (self.dir / 'ca.conf').write_text(
            '[ca]\ndefault_ca=c\n[c]\ndefault_md=sha256\nunique_subject=no\ndatabase=index\ncrlnumber=number\n'
            'crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n', encoding='utf-8')
        self.run('ca', '-gencrl', '-config', 'ca.conf', '-cert', f'{issuer}.crt', '-keyfile', f'{issuer}.key',
                 *dates, '-out', 'new.crl')
        return (self.dir / 'new.crl').replace(self.dir / f'{issuer}.crl')
