#!/usr/bin/env python3
"""Judges a JWT-SVID and a WIT-SVID with PyJWT and cryptography: reads both with their keys from standard input, as one
JSON object, and prints which were good."""

import json
import sys

import jwt

ALGORITHMS = {'ec-p256': 'ES256', 'ec-p384': 'ES384', 'rsa-2048': 'RS256'}
SUBJECT = 'spiffe://example.org/tool'


def expect(found, wanted):
    if found != wanted:
        raise SystemExit(f'{found!r} is not {wanted!r}')


def verified(token, key_set, algorithm, **how):
    """The claims of a token that is good by a key of the set, found by its kid."""
    key = jwt.PyJWKSet.from_dict(key_set)[jwt.get_unverified_header(token)['kid']]
    return jwt.decode(token, key.key, algorithms=[algorithm], options={'require': ['exp', 'iat', 'jti', 'sub']}, **how)


def check_jwt(issued, algorithm):
    expect(set(jwt.get_unverified_header(issued['jwt'])), {'alg', 'kid', 'typ'})
    claims = verified(issued['jwt'], issued['jwt_keys'], algorithm, audience='reports', issuer=issued['issuer'])
    expect((claims['sub'], sorted(claims['aud']), claims['exp'] - claims['iat']), (SUBJECT, ['billing', 'reports'], 300))
    try:
        verified(issued['jwt'], issued['jwt_keys'], algorithm, audience='others')
    except jwt.InvalidAudienceError:
        return
    raise SystemExit('it is good for every audience')


def check_wit(issued, algorithm):
    """The key in the token is the one that came with it: what that one signs, this one verifies."""
    expect(jwt.get_unverified_header(issued['wit'])['typ'], 'wit+jwt')
    claims = verified(issued['wit'], issued['wit_keys'], algorithm)
    expect((claims['sub'], 'aud' in claims, 'iss' in claims), (SUBJECT, False, False))
    confirmed = jwt.PyJWK(claims['cnf']['jwk'])
    proof = jwt.encode({'proof': 1}, jwt.PyJWK(issued['wit_key']).key, claims['cnf']['jwk']['alg'])
    expect(jwt.decode(proof, confirmed.key, algorithms=[claims['cnf']['jwk']['alg']]), {'proof': 1})


def main():
    issued = json.load(sys.stdin)
    algorithm = ALGORITHMS[issued['key_type']]
    check_jwt(issued, algorithm)
    check_wit(issued, algorithm)
    print(json.dumps({'good': ['jwt', 'wit']}))


if __name__ == '__main__':
    main()
