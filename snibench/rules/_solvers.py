"""Small exact solvers behind the rules. NumPy in, NumPy out; nothing here knows a task or a step.

Vectors are never formed: any vectors with the same inner products have the same answer, so a factor of the Gram
matrix stands for the gradients.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, linprog, nnls

Array: TypeAlias = NDArray[np.float64]


def unit_vectors(gram: Array) -> tuple[Array, Array]:
    """``[T, T]`` columns of norm 1 with the angles of ``gram``, and the ``[T]`` norms that go with them.

    Norms are split off first, so that a gradient a million times smaller than another keeps its angles.
    """
    norms = np.sqrt(gram.diagonal())
    values, axes = np.linalg.eigh(gram / norms / norms[:, None])
    return np.sqrt(values.clip(min=0))[:, None] * axes.T, norms


def closest_to_origin(vectors: Array) -> Array:
    """``[T]`` weights on the simplex of the point closest to the origin in the hull of ``[r, T]`` columns.

    Non-negative least squares with one more row, which asks that the weights sum to 1: the solution falls short
    of 1 but points the right way.

    Source:
        Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23 (least distance programming).
    """
    norms = np.linalg.norm(vectors, axis=0)
    smallest = norms.min()
    if smallest == 0:
        return np.asarray(norms == 0, dtype=np.float64) / np.count_nonzero(norms == 0)
    # In units of weight times norm every column has length 1 to sqrt 2, however unequal the norms are.
    columns = np.vstack([vectors / norms, smallest / norms])
    target = np.append(np.zeros(len(vectors)), 1.0)
    weights = nnls(columns, target, maxiter=100 * len(norms))[0] / norms
    return np.asarray(weights / weights.sum())


def into_dual_cone(vectors: Array, point: Array) -> Array:
    """``[T]`` coefficients of the projection of ``vectors @ point`` on the dual cone of ``[r, T]`` columns.

    The dual cone holds what has a non-negative product with every column. The projection adds the non-negative
    combination of columns that comes closest to cancelling the point.

    Source:
        Quinton and Rey, Jacobian Descent for Multi-Objective Optimization (2024), Proposition 1.
    """
    added = nnls(vectors, -vectors @ point, maxiter=100 * len(point))[0]
    return np.asarray(point + added)


def weakest_in_ball(vectors: Array, centre: Array, radius: float) -> tuple[Array, float]:
    """``[T]`` simplex weights x that minimise ``<g_x, g_0> + radius ||g_x||``, and ``||g_x||`` there.

    ``g_x`` is ``vectors @ x`` and ``g_0`` is ``vectors @ centre``. Since
    ``||g|| = min_s (||g||^2 / s + s) / 2``, for a fixed s the best x is the point closest to the origin in the
    hull of ``g_t + (s / radius) g_0``, and the right s is the one root of ``||g_x|| - s``. A norm of 0 is returned
    where ``g_x`` vanishes.
    """
    shift = (vectors @ centre)[:, None] / radius

    def weights(s: float) -> Array:
        return closest_to_origin(vectors + s * shift)

    def excess(s: float) -> float:
        return float(np.linalg.norm(vectors @ weights(s))) - s

    largest = float(np.linalg.norm(vectors, axis=0).max())
    vanishing = 1e-7 * largest  # the root of rounding in ||g||^2
    if excess(vanishing) <= 0:
        return weights(vanishing), 0.0
    if excess(largest) >= 0:
        return weights(largest), largest
    s = brentq(excess, vanishing, largest, xtol=1e-12 * largest, rtol=1e-12)
    return weights(s), s


def power_balance(matrix: Array, right: Array, power: float) -> Array:
    """The positive ``[T]`` vector a with ``matrix @ a = right * a**-power``.

    The only minimum of a convex function, found by Newton's method with backtracking.

    Args:
        matrix: ``[T, T]`` positive definite with unit diagonal.
        right: ``[T]`` positive.
        power: Positive.
    """

    def slope(a: Array) -> Array:
        return np.asarray(matrix @ a - right * a**-power)

    a = right ** (1 / (1 + power))  # exact where the matrix is diagonal
    a = a * (right @ a ** (1 - power) / (a @ matrix @ a)) ** (1 / (1 + power))  # the best length of that direction
    for _ in range(100):
        pull = right * a**-power
        if (np.abs(slope(a)) <= 1e-15 * (np.abs(matrix) @ a + pull)).all():  # nothing but rounding is left
            break
        step = np.linalg.solve(matrix + np.diag(power * pull / a), -slope(a))
        fall = -float(slope(a) @ step)  # of the function, to first order
        length = min(1.0, 0.9 / max(float((-step / a).max()), 0.9))  # a stays positive
        while length > 1e-6 and float(slope(a + length * step) @ step) > 0.1 * fall:
            length /= 2  # too far: the function rises again
        a = a + length * step
    return np.asarray(a)


def most_even_in_cone(directions: Array, norms: Array, axis: Array, slope: float) -> Array:
    """``[T]`` coefficients of u on the parts of ``directions`` orthogonal to ``axis``, in a cone around it.

    With l_t = ``norms_t <directions_t, axis>`` and w_t the orthogonal part of ``norms_t directions_t``, u is the
    shortest vector no longer than ``slope`` with the largest ``min_t (l_t + <w_t, u>)``. For a given value of that
    minimum, u is the shortest point of a polyhedron, and its length grows with the value, which is found as a root. The
    w_t must have a mixture that vanishes, as they have if ``axis`` is their mean's direction.

    Source:
        Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23 (least distance programming).
    """
    along = axis @ directions  # l_t / n_t
    across = directions - np.outer(axis, along)  # w_t / n_t

    def shortest(value: float) -> tuple[Array, float]:
        wanted = value / norms - along
        target = np.append(np.zeros(len(across)), 1.0)
        solution = nnls(np.vstack([across, wanted]), target, maxiter=100 * len(norms))[0]
        slack = max(1 - float(wanted @ solution), 1e-300)
        point = across @ solution / slack
        reached = slack > 1e-6 and bool((across.T @ point >= wanted - 1e-8 * (1 + np.abs(wanted))).all())
        return solution / slack, float(np.linalg.norm(point)) if reached else np.inf

    # No mixture without an orthogonal part has a smaller l than the largest value that some u reaches: duality of
    # linear programs. Right at it least squares may not see that the value is reached, so it comes from below.
    unit, sizes = float(norms.max()), norms / norms.max()
    constraints = np.vstack([across * sizes, np.ones(len(norms))])
    program = linprog(sizes * along, A_eq=constraints, b_eq=np.append(np.zeros(len(across)), 1))
    smallest = (sizes * along).mean() if program.fun is None else program.fun
    bound = unit * float(smallest)
    least = float((norms * along).min())
    for distance in (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4):
        best = bound - distance * unit
        if best <= least:  # nothing is gained by turning away from the axis
            return np.zeros(len(norms))
        coefficients, length = shortest(best)
        if length <= slope:
            return coefficients
        if length < np.inf:
            break
    value = brentq(lambda value: min(shortest(value)[1], 2 * slope) - slope, least, best, xtol=1e-13 * unit)
    return shortest(value - 1e-12 * unit)[0]
