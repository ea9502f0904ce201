"""Conformance checks for plugin authors: call them from a test of your own, without downloads.

::

    from snibench.testing import check_executor, check_format, check_method, check_metric, check_protocol
    from snibench.testing import check_rule, check_sampler, check_suite

    def test_my_format_keeps_the_contract() -> None:
        check_format(MyFormat())

    def test_my_rule_keeps_the_contract() -> None:
        check_rule(MyRule)

    def test_my_sampler_keeps_the_contract() -> None:
        check_sampler(MySampler)

    def test_my_method_keeps_the_contract() -> None:
        check_method(MyMethod)

    def test_my_metric_keeps_the_contract() -> None:
        check_metric(MyMetric())

    def test_my_protocol_keeps_the_contract() -> None:
        check_protocol(MyProtocol)

    def test_my_suite_keeps_the_contract() -> None:
        check_suite(MySuite, SuiteRequest("mine", data="a/folder"))

    def test_my_executor_keeps_the_contract() -> None:
        check_executor(MyExecutor)

Each raises AssertionError with one sentence that says what was promised and what came instead. Only
``check_method`` and ``check_rule`` need torch. They show that a plugin keeps the contract of ``snibench.contracts``,
never that it is a good idea.
"""

from snibench.testing.executors import check_executor
from snibench.testing.formats import check_format
from snibench.testing.methods import check_method
from snibench.testing.metrics import check_metric
from snibench.testing.protocols import check_protocol
from snibench.testing.rules import check_rule
from snibench.testing.samplers import check_sampler
from snibench.testing.suites import check_suite

__all__ = [
    "check_executor",
    "check_format",
    "check_method",
    "check_metric",
    "check_protocol",
    "check_rule",
    "check_sampler",
    "check_suite",
]
