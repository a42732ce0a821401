"""Arithmetic in finite fields of up to 4,096 elements, on integer arrays."""

import numpy as np
from numpy.typing import NDArray
from sympy import factorint

MAX_FIELD = 4096


class FiniteField:
    """The field of q = p^k elements; the polynomial e_0 + e_1·x + … over the residues is the integer e_0 + e_1·p + …

    Products are sums of logarithms to the base x, modulo the first polynomial for which x generates all units.

    Args:
        q: a prime power of at most 4,096; ``ValueError`` otherwise.

    Attributes:
        powers: int64 array ``(q - 1,)``; entry i is x^i.
    """

    def __init__(self, q: int):
        self.check_size(q)
        ((self.p, self.k),) = factorint(q).items()
        self.q = q
        self._places = self.p ** np.arange(self.k)
        self.powers = np.array(self._find_powers(), dtype=np.int64)
        self._logarithm = np.zeros(q, dtype=np.int64)
        self._logarithm[self.powers] = np.arange(q - 1)

    @staticmethod
    def check_size(q: int) -> None:
        """Refuse what is no prime power, or too large, without long computation."""
        if not 2 <= q <= MAX_FIELD or len(factorint(q)) != 1:
            given = f"{q:,}" if q < 10**18 else "more"
            raise ValueError(f"a finite field has a prime power of elements, here at most {MAX_FIELD:,}, not {given}")

    def _find_powers(self) -> list[int]:
        """All powers of x modulo the first polynomial x^k - c (c of lower degree) for which they are all units."""
        for c in range(1, self.q):
            powers = [1]
            while len(powers) < self.q:
                following = self._times_x(powers[-1], c)
                if following == 1:
                    break
                powers.append(following)
            if len(powers) == self.q - 1:
                return powers
        raise AssertionError("every finite field has a primitive polynomial")

    def _times_x(self, element: int, c: int) -> int:
        """``element`` times x, where x^k = c."""
        leading, rest = divmod(element, self.p ** (self.k - 1))
        result, place = 0, 1
        shifted = rest * self.p
        for _ in range(self.k):
            result += (shifted // place + leading * (c // place)) % self.p * place
            place *= self.p
        return result

    def add(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        digits = (left[..., None] // self._places + right[..., None] // self._places) % self.p
        return digits @ self._places

    def negative(self, element: NDArray[np.int64]) -> NDArray[np.int64]:
        return (-(element[..., None] // self._places) % self.p) @ self._places

    def multiply(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        product = self.powers[(self._logarithm[left] + self._logarithm[right]) % (self.q - 1)]
        return np.where((left == 0) | (right == 0), 0, product)

    def inverse(self, element: NDArray[np.int64]) -> NDArray[np.int64]:
        """1 / element; the element is not 0."""
        return self.powers[-self._logarithm[element] % (self.q - 1)]
