"""Whether a class defines what nobody calls."""

from __future__ import annotations

from difflib import get_close_matches

from snibench.base.errors import PluginError

_CLOSE = 0.75


def check_hooks(implementation: type, contract: type) -> None:
    """Refuse an ``implementation`` with a public name that is close to a hook of ``contract`` and is none.

    A hook under a wrong name is never called, and the method would be tuned as though it were not there. Names of
    helpers begin with an underscore, or are unlike all hooks; abstract ones are a base class's own hooks.

    Raises:
        PluginError: Names the hook that was meant.
    """
    hooks = [name for name in dir(contract) if not name.startswith("_")]
    for owner in implementation.__mro__:
        if owner is contract or not issubclass(owner, contract):
            continue
        for name, value in vars(owner).items():
            known = name in hooks or any(name in vars(base) for base in owner.__mro__[1:])
            if name.startswith("_") or known or getattr(value, "__isabstractmethod__", False):
                continue
            words = [word for word in name.split("_") if word in hooks]
            if close := words or get_close_matches(name, hooks, n=1, cutoff=_CLOSE):
                raise PluginError(
                    f"{owner.__name__}.{name} is no hook, so nothing calls it. Did you mean '{close[0]}'? A helper of "
                    f"your own begins with an underscore: _{name}."
                )


def further_names(implementation: type, contract: type) -> tuple[str, ...]:
    """Public names of ``implementation`` that are no hook of ``contract`` nor of a base class of its own, sorted.

    Nothing of snibench reads them. A base class has hooks of its own where it declares them abstract.
    """
    hooks = set(dir(contract))
    for owner in implementation.__mro__:
        hooks |= {name for name, value in vars(owner).items() if getattr(value, "__isabstractmethod__", False)}
    return tuple(name for name in dir(implementation) if not name.startswith("_") and name not in hooks)
