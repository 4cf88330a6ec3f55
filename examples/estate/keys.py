"""Keys from a seed: the same seed gives the same keys, so that the sample estate can be made anew at any time and none is committed.

The generator is random.Random and not a cryptographic one: these keys are for examples only.
"""

from __future__ import annotations

import random

import gmpy2
from cryptography.hazmat.primitives.asymmetric import ec, rsa

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
E = 65537


class KeySmith:
    """Makes keys from one seeded stream."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def ec(self) -> ec.EllipticCurvePrivateKey:
        """A P-256 key."""
        return ec.derive_private_key(self._random.randrange(1, 2**255), ec.SECP256R1())

    def rsa(self, bits: int) -> rsa.RSAPrivateKey:
        """An ordinary RSA key."""
        return self._of_primes(self._prime(bits // 2), self._prime(bits // 2))

    def close_primes(self, bits: int) -> rsa.RSAPrivateKey:
        """A weak key: Fermat's method factors it in the first rounds."""
        p = self._prime(bits // 2)
        q = p
        while (q := int(gmpy2.next_prime(q))) % E == 1:
            pass
        return self._of_primes(p, q)

    def shared_prime(self, bits: int) -> tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey]:
        """Two weak keys that have a prime in common: the greatest common divisor of their moduli factors both."""
        p = self._prime(bits // 2)
        return self._of_primes(p, self._prime(bits // 2)), self._of_primes(p, self._prime(bits // 2))

    def _prime(self, bits: int) -> int:
        top = 3 << (bits - 2)  # the two highest bits set, so that the product has full length
        while True:
            prime = int(gmpy2.next_prime(top | self._random.getrandbits(bits - 2)))
            if prime.bit_length() == bits and prime % E != 1:
                return prime

    def _of_primes(self, p: int, q: int) -> rsa.RSAPrivateKey:
        p, q = max(p, q), min(p, q)
        d = int(gmpy2.invert(E, (p - 1) * (q - 1)))
        public = rsa.RSAPublicNumbers(E, p * q)
        numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), int(gmpy2.invert(q, p)), public)
        return numbers.private_key()
