"""How far two single-precision codes of the same arithmetic may be apart, on any processor.

Processors add products in different orders and fuse or do not fuse them. A sum of n products differs by at most n roundings of
2**-24 of its size between two orders; a network evaluated k times, one result fed into the next, adds up k x layers x n of them.
Example: 10 steps through 2 layers of at most 160 products: 3,200 roundings, 2e-4 for numbers of order one.
"""

UNIT = 2.0**-24
"""One rounding of a float32, relative."""


def bound(*, sums: int, scale: float = 1.0, evaluations: int = 1, layers: int = 1) -> float:
    """Return the largest difference that the order of additions alone can make.

    Args:
        sums: products in the longest sum.
        scale: size of the numbers.
        evaluations: how often the network is evaluated on its own result.
        layers: sums in a row per evaluation.
    """
    return UNIT * scale * sums * evaluations * layers
