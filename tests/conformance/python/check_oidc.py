#!/usr/bin/env python3
"""A relying party of PyJWT's that knows an issuer's URL and an audience, and finds the rest by OpenID Connect Discovery.

    check_oidc.py ISSUER AUDIENCE CA_FILE

Reads tokens from standard input, a JSON array, and prints one JSON object for each: its claims, or why it is refused.
"""

import json
import ssl
import sys
import urllib.request

import jwt


def main():
    issuer, audience, ca_file = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca_file)
    with urllib.request.urlopen(f'{issuer.rstrip("/")}/.well-known/openid-configuration', context=context, timeout=30) as answer:
        configuration = json.load(answer)
    if configuration['issuer'] != issuer:  # OpenID Connect Discovery 1.0 §4.3
        raise SystemExit(f'the document is that of {configuration["issuer"]}')
    keys = jwt.PyJWKClient(configuration['jwks_uri'], ssl_context=context)
    for token in json.load(sys.stdin):
        try:
            claims = jwt.decode(token, keys.get_signing_key_from_jwt(token), audience=audience, issuer=issuer,
                                algorithms=configuration['id_token_signing_alg_values_supported'],
                                options={'require': ['exp', 'iat', 'iss', 'sub', 'aud']})
            print(json.dumps({'claims': claims}))
        except jwt.PyJWTError as error:
            print(json.dumps({'refused': type(error).__name__, 'why': str(error)}))


if __name__ == '__main__':
    main()
