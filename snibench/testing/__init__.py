"""Conformance checks for plugin authors: call them from a test of your own, without downloads.

::

    from snibench.testing import check_format, check_method, check_rule

    def test_my_format_keeps_the_contract() -> None:
        check_format(MyFormat())

    def test_my_rule_keeps_the_contract() -> None:
        check_rule(MyRule)

    def test_my_method_keeps_the_contract() -> None:
        check_method(MyMethod)

Each raises AssertionError with one sentence that says what was promised and what came instead. ``check_format``
needs no torch. They show that a plugin keeps the contract of ``snibench.contracts``, never that it is a good idea.
"""

from snibench.testing.formats import check_format
from snibench.testing.methods import check_method
from snibench.testing.rules import check_rule

__all__ = ["check_format", "check_method", "check_rule"]
