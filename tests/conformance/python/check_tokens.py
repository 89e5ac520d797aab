#!/usr/bin/env python3
"""Judges tokens with PyJWT and cryptography: reads what issue_tokens prints, prints how many tokens were good."""

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
    claims = verified(issued['jwt'], issued['jwt_keys'], algorithm, audience='reports', issuer='https://oidc.example.org')
    expect((claims['sub'], claims['aud'], claims['exp'] - claims['iat']), (SUBJECT, ['reports', 'billing'], 300))
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
    all_issued = json.load(sys.stdin)
    for issued in all_issued:
        check_jwt(issued, ALGORITHMS[issued['key_type']])
        check_wit(issued, ALGORITHMS[issued['key_type']])
    print(json.dumps({'good': 2 * len(all_issued)}))


if __name__ == '__main__':
    main()
