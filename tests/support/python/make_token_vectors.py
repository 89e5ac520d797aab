#!/usr/bin/env python3
"""Prints tests/unit/pki/token_vectors.h: tokens and public keys made by PyJWT and cryptography, not by us.

    python3 tests/support/python/make_token_vectors.py >tests/unit/pki/token_vectors.h && clang-format-16 -i tests/unit/pki/token_vectors.h

The private keys are thrown away. The tokens end in the year 2100.
"""

import json
import textwrap

import cryptography
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import get_default_algorithms

CLAIMS = {'sub': 'spiffe://example.org/other', 'aud': ['reports', 'billing'], 'exp': 4102444800, 'iat': 1767225600,
          'nbf': 1767225600, 'jti': 'one', 'private': {'nested': [True, None, 1.5]}}
KEYS = {
    'RS': rsa.generate_private_key(public_exponent=65537, key_size=2048),
    'ES256': ec.generate_private_key(ec.SECP256R1()),
    'ES384': ec.generate_private_key(ec.SECP384R1()),
    'ES512': ec.generate_private_key(ec.SECP521R1()),
}


def key_for(algorithm):
    return KEYS.get(algorithm, KEYS['RS'])


def base64url(number, length=None):
    return jwt.utils.base64url_encode(number.to_bytes(length or (number.bit_length() + 7) // 8, 'big')).decode()


def public_jwk(key):
    """By RFC 7518 §6, from cryptography's numbers."""
    numbers = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {'kty': 'RSA', 'n': base64url(numbers.n), 'e': base64url(numbers.e)}
    length = (key.curve.key_size + 7) // 8
    return {'kty': 'EC', 'crv': f'P-{key.curve.key_size}', 'x': base64url(numbers.x, length), 'y': base64url(numbers.y, length)}


def literal(text):
    return '\n'.join(json.dumps(part) for part in textwrap.wrap(text, 100))


def main():
    print(f'''// Tokens and their keys as JWKs, made by PyJWT {jwt.__version__} and cryptography {cryptography.__version__}:
// tests/support/python/make_token_vectors.py, which also says what their claims are.
#pragma once

namespace lanyard::testing {{

struct TokenVector {{
  const char* algorithm;
  const char* jwk;
  const char* token;
}};

inline constexpr TokenVector kTokenVectors[] = {{''')
    for algorithm in ('RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'):
        assert algorithm in get_default_algorithms()
        token = jwt.encode(CLAIMS, key_for(algorithm), algorithm, headers={'kid': 'other'})
        jwk = json.dumps(public_jwk(key_for(algorithm)), separators=(',', ':'))
        print(f'{{"{algorithm}", {literal(jwk)}, {literal(token)}}},')
    print('};\n\n}  // namespace lanyard::testing')


if __name__ == '__main__':
    main()
