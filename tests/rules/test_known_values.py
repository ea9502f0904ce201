"""Rules against torchjd where its answer is right, else against the condition that the right answer meets."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from snibench.base.registry import RULES
from snibench.rules import project_conflicting

SHAPES = [(2, 10), (3, 10), (8, 100), (8, 5)]  # the last: fewer dimensions than tasks
SPREADS = [0, 1, 3]  # norms differ up to a million-fold


def rule(name, **settings):
    kind = RULES.get(name)
    return kind(kind.Settings(**settings))


def conflicting(count, size, spread, seed=0):
    rng = np.random.default_rng([seed, count, size, spread])
    gradients = rng.standard_normal((count, size))
    gradients -= 0.9 * gradients.mean(axis=0)
    return gradients * 10 ** rng.uniform(-spread, spread, (count, 1))


cases = pytest.mark.parametrize(
    "gradients", [conflicting(*shape, spread) for shape, spread in itertools.product(SHAPES, SPREADS)]
)


def projected_by_hand(gradients, orders):
    """PCGrad's Algorithm 1 on the vectors themselves."""
    turned = gradients.copy()
    for task, order in enumerate(orders):
        for other in order:
            product = turned[task] @ gradients[other]
            if other != task and product < 0:
                turned[task] -= product / (gradients[other] @ gradients[other]) * gradients[other]
    return turned


@cases
def test_pcgrad_is_algorithm_1_on_vectors_in_the_generator_s_order(gradients):
    count = len(gradients)
    orders = torch.rand(count, count, generator=torch.Generator().manual_seed(7), dtype=torch.float64).argsort(dim=0)
    gram = torch.from_numpy(gradients @ gradients.T)
    coefficients = project_conflicting(gram, torch.Generator().manual_seed(7)).numpy()
    expected = projected_by_hand(gradients, orders.T.tolist())
    size = np.linalg.norm(gradients, axis=1, keepdims=True)
    assert (coefficients @ gradients) / size == pytest.approx(expected / size, abs=1e-9)


def test_two_projected_gradients_never_conflict():
    gradients = np.array([[1.0, 0.0], [-3.0, 1.0]])
    turned = project_conflicting(torch.from_numpy(gradients @ gradients.T), torch.Generator()).numpy() @ gradients
    # By hand: g_1' = (1, 0) - (-3/10)(-3, 1) and g_2' = (-3, 1) - (-3)(1, 0).
    assert turned == pytest.approx(np.array([[0.1, 0.3], [0.0, 1.0]]))
    assert turned @ gradients.T == pytest.approx(np.array([[0.1, 0], [0, 1]]))


def test_kappa_takes_away_its_share_of_what_opposes():
    gradients = np.array([[1.0, 0.0], [-3.0, 1.0]])
    gram, kappa = torch.from_numpy(gradients @ gradients.T), torch.tensor([[1.0, 0.5], [0.0, 1.0]]).double()
    turned = project_conflicting(gram, torch.Generator(), kappa).numpy() @ gradients
    assert turned == pytest.approx(np.array([[0.55, 0.15], [-3.0, 1.0]]))
    full = project_conflicting(gram, torch.Generator(), torch.ones(2, 2).double())
    assert torch.equal(full, project_conflicting(gram, torch.Generator()))


def test_a_zero_gradient_is_met_without_a_division():
    gradients = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.5]]).double()
    coefficients = project_conflicting(gradients @ gradients.T, torch.Generator().manual_seed(0))
    assert coefficients.isfinite().all()
    assert coefficients[1].tolist() == [0.0, 1.0, 0.0]


# ------------------------------------------------------------------------------------ against torchjd


def torchjd_weights(name, gradients, **options):
    """torchjd on the Gram matrix with mean diagonal 1: below a trace of 1e-4 some of its rules change."""
    aggregation = pytest.importorskip("torchjd.aggregation")
    gram = torch.from_numpy(gradients @ gradients.T)
    return getattr(aggregation, name)(**options)(gram * len(gram) / gram.trace()).numpy()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("mean", "MeanWeighting"),
        ("sum", "SumWeighting"),
        ("imtl-g", "IMTLGWeighting"),
        ("aligned-mtl", "AlignedMTLWeighting"),
    ],
)
def test_it_agrees_with_torchjd(name, oracle, seed, step):
    gradients = conflicting(8, 100, 1, seed)
    expected = torchjd_weights(oracle, gradients)
    assert rule(name).weights(step(gradients)).numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("name", "oracle"), [("pcgrad", "PCGradWeighting"), ("gradvac", "GradVacWeighting")])
@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_torchjd_up_to_the_mean_for_two_tasks(name, oracle, seed, step):
    gradients = conflicting(2, 10, 0, seed)  # no order to draw
    options = {} if name == "pcgrad" else {"beta": 0.01, "eps": 0.0}
    expected = torchjd_weights(oracle, gradients, **options) / 2
    assert rule(name).weights(step(gradients)).numpy() == pytest.approx(expected, rel=1e-5)


def test_gradvac_follows_torchjd_over_steps(step):
    # Its weighting keeps its targets from call to call, as ours does.
    aggregation = pytest.importorskip("torchjd.aggregation")
    oracle, ours = aggregation.GradVacWeighting(beta=0.3, eps=0.0), rule("gradvac", beta=0.3)
    moved = 0
    for seed in range(30):
        gradients = np.random.default_rng(seed).normal((0.5, 0, 0), 1, (2, 3))
        weights = ours.weights(step(gradients)).numpy()
        assert weights == pytest.approx(oracle(torch.from_numpy(gradients @ gradients.T)).numpy() / 2, rel=1e-5)
        moved += weights.sum() != 1
    assert moved > 5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("name", "oracle"), [("upgrad", "UPGradWeighting"), ("dualproj", "DualProjWeighting")])
def test_it_agrees_with_torchjd_without_its_regularisation(name, oracle, seed, step):
    pytest.importorskip("torchjd.aggregation")
    linalg = pytest.importorskip("torchjd.linalg")
    pytest.importorskip("qpsolvers")
    pytest.importorskip("quadprog")
    gradients = conflicting(6, 50, 0, seed)
    projector = linalg.QuadprogProjector(norm_eps=0.0, reg_eps=1e-9)
    expected = torchjd_weights(oracle, gradients, projector=projector)
    assert rule(name).weights(step(gradients)).numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_fairgrad_agrees_with_torchjd(seed, step):
    pytest.importorskip("torchjd.aggregation")
    gradients = conflicting(4, 50, 0, seed)
    gradients *= np.sqrt(4 / (gradients**2).sum())  # this rule is not scale-free
    expected = torchjd_weights("FairGradWeighting", gradients, alpha=2.0)
    assert rule("fairgrad", alpha=2.0).weights(step(gradients)).numpy() == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------------------------- optimality conditions


@cases
def test_mgda_meets_every_task_at_least_as_far_as_itself(gradients, step):
    weights = rule("mgda").weights(step(gradients)).numpy()
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    update, norms = weights @ gradients, np.linalg.norm(gradients, axis=1)
    # The point closest to the origin: <g_t, d> >= ||d||^2, with equality where the weight is positive. In units
    # of the smallest norm, which is the longest that d can be.
    excess = (gradients @ update - update @ update) / norms / norms.min()
    assert excess.min() > -1e-9
    assert np.abs(excess[weights * norms > 1e-9 * norms.min()]).max() < 1e-7


@cases
def test_upgrad_averages_exact_projections(gradients, step):
    # The projection p of g on the dual cone: p - g = G'v with v >= 0, Gp >= 0 and v . Gp = 0 (Moreau).
    weights = rule("dualproj").weights(step(gradients)).numpy()
    norms = np.linalg.norm(gradients, axis=1)
    added = weights - 1 / len(weights)
    products = gradients @ (weights @ gradients)
    scale = (np.abs(weights) * norms).max()
    assert (added * norms).min() >= -1e-12 * scale
    assert (products / norms).min() >= -1e-12 * scale
    assert np.abs(added * products).max() <= 1e-12 * scale**2

    one_by_one = np.zeros(len(gradients))
    for task in range(len(gradients)):
        one_by_one += _projection_weights(gradients / norms[:, None], task) * norms[task] / norms / len(gradients)
    update = rule("upgrad").weights(step(gradients)).numpy() @ gradients
    assert update == pytest.approx(one_by_one @ gradients, abs=1e-6 * norms.max())


def _projection_weights(directions, task):
    """Weights of the projection of one direction on the dual cone, by a bounded quasi-Newton method."""
    gram = directions @ directions.T
    start = np.eye(len(directions))[task]
    found = minimize(
        lambda v: (start + v) @ gram @ (start + v),
        np.zeros(len(directions)),
        jac=lambda v: 2 * gram @ (start + v),
        bounds=[(0, None)] * len(directions),
        method="L-BFGS-B",
        options={"ftol": 1e-18, "gtol": 1e-12, "maxiter": 10_000, "maxfun": 100_000},
    )
    return start + found.x


@cases
def test_cagrad_is_the_best_worst_case_in_its_ball(gradients, step):
    c = 0.5
    weights = rule("cagrad", c=c).weights(step(gradients)).numpy()
    mean, update = gradients.mean(axis=0), weights @ gradients
    radius = c * np.linalg.norm(mean)
    mixture = weights - 1 / len(weights)
    assert mixture.min() >= 0
    assert np.linalg.norm(update - mean) == pytest.approx(radius)
    # Weak duality: no update in the ball does better than the bound of any mixture x, so if the worst task does as
    # well as the bound of ours, both are optimal.
    hardest = mixture / mixture.sum() @ gradients
    bound = hardest @ mean + radius * np.linalg.norm(hardest)
    scale = np.linalg.norm(gradients, axis=1).min() * np.linalg.norm(mean)
    assert (gradients @ update).min() == pytest.approx(bound, abs=1e-6 * scale)


def test_cagrad_stops_where_a_mixture_of_the_gradients_vanishes(step):
    stationary = np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]) * [[1.0], [2.0], [2.0]]
    assert rule("cagrad", c=2.0).weights(step(stationary)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("gradients", [conflicting(*shape, spread) for shape in SHAPES[:3] for spread in SPREADS])
def test_nash_gains_times_weights_are_one_for_every_task(gradients, step):
    weights = rule("nash-mtl").weights(step(gradients)).numpy()
    assert weights.min() > 0
    assert weights * (gradients @ (weights @ gradients)) == pytest.approx(np.ones(len(weights)), rel=1e-6)
    assert np.linalg.norm(weights @ gradients) == pytest.approx(np.sqrt(len(weights)))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("gradients", [conflicting(*shape, spread) for shape in SHAPES[:3] for spread in (0, 1)])
def test_fairgrad_solves_its_equation(gradients, alpha, step):
    weights = rule("fairgrad", alpha=alpha).weights(step(gradients)).numpy()
    assert weights.min() > 0
    gains = gradients @ (weights @ gradients)
    assert gains * weights ** (1 / alpha) == pytest.approx(np.ones(len(weights)), rel=1e-6)


@cases
def test_imtl_g_advances_equally_along_every_task(gradients, step):
    weights = rule("imtl-g").weights(step(gradients)).numpy()
    along = gradients @ (weights @ gradients) / np.linalg.norm(gradients, axis=1)
    if len(gradients) > gradients.shape[1]:  # no direction is at one angle to eight gradients in general position
        assert not weights.any()
        return
    assert weights.sum() == pytest.approx(1)
    assert along == pytest.approx(np.full(len(along), along.mean()), rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [2, 3, 6])
def test_imtl_g_is_the_published_closed_form_of_independent_gradients(count, seed, step):
    gradients = conflicting(count, 20, 0, seed)
    units = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    # Liu et al., equation 8: alpha_2..T = g_1 U' (D U')^-1 with D = g_1 - g_t and U = u_1 - u_t.
    apart, turned = gradients[0] - gradients[1:], units[0] - units[1:]
    rest = gradients[0] @ turned.T @ np.linalg.inv(apart @ turned.T)
    weights = rule("imtl-g").weights(step(gradients)).numpy()
    assert weights == pytest.approx(np.array([1 - rest.sum(), *rest]), rel=1e-6)


@pytest.mark.parametrize(
    ("gradients", "update"),
    [
        ([(2, 0), (-1, 0)], (0, 0)),  # opposite ways: only 0 has the same component along both
        ([(2, 0), (1, 0)], (4 / 3, 0)),  # the same way: the limit of two at an angle, 2 / (1/2 + 1/1)
        ([(3, 0), (3, 0), (0, 3)], (1.5, 1.5)),  # one twice
        ([(1, 0), (0, 2), (-1, 0)], (0, 0)),  # in a plane, at no common angle to any direction
    ],
)
def test_imtl_g_keeps_its_definition_for_dependent_gradients(gradients, update, step):
    gradients = np.array(gradients, dtype=float)
    weights = rule("imtl-g").weights(step(gradients)).numpy()
    assert weights @ gradients == pytest.approx(np.array(update, dtype=float), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    base=arrays(np.float64, (2, 6), elements=st.floats(-1, 1)),
    mix=arrays(np.float64, (4, 2), elements=st.floats(-1, 1)),
    size=st.floats(1e-3, 1e3),
)
def test_imtl_g_gives_equal_components_or_no_step(step, base, mix, size):
    gradients = mix @ base * size
    norms = np.linalg.norm(gradients, axis=1)
    assume(norms.min() > 1e-2 * size)
    update = rule("imtl-g").weights(step(gradients)).numpy() @ gradients
    along = gradients @ update / norms
    assert np.ptp(along) <= 1e-5 * np.abs(along).max() + 1e-9 * size


def test_aligned_mtl_makes_the_gradients_orthogonal_and_equal(step):
    gradients = conflicting(4, 30, 1)
    weights = rule("aligned-mtl").weights(step(gradients)).numpy()
    # Its update has length sqrt(lambda_r) / sqrt(T): the mean of T orthogonal vectors of length sqrt(lambda_r).
    smallest = np.linalg.eigvalsh(gradients @ gradients.T)[0]
    assert np.linalg.norm(weights @ gradients) == pytest.approx(np.sqrt(smallest / 4))


# ------------------------------------------------------------------------------------- worked by hand


def test_db_mtl_brings_log_loss_gradients_to_the_norm_of_the_largest(step):
    # Norms 5 and 1, losses 2 and 0.1: log-loss gradients have norms 2.5 and 10.
    weights = rule("db-mtl").weights(step([[3.0, 4.0], [1.0, 0.0]], losses=[2.0, 0.1]))
    assert weights.tolist() == pytest.approx([10 / (2 * 5), 10 / 2])


def test_geometric_mean_weights_are_its_derivatives(step):
    losses = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64, requires_grad=True)
    losses.prod().pow(1 / 3).backward()
    weights = rule("geometric-mean").weights(step(np.eye(3), losses=[0.5, 2.0, 4.0]))
    assert weights.tolist() == pytest.approx(losses.grad.tolist())


def test_random_weights_are_a_softmax_of_normal_numbers(step):
    drawn = np.array([rule("rlw").weights(step(np.eye(2), seed=seed)).numpy() for seed in range(2000)])
    assert drawn.sum(axis=1) == pytest.approx(np.ones(2000))
    logits = np.log(drawn[:, 0] / drawn[:, 1])  # a difference of two standard normals
    assert logits.mean() == pytest.approx(0, abs=0.15)
    assert logits.std() == pytest.approx(np.sqrt(2), rel=0.08)
