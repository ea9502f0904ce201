"""Which tasks a step draws, one file each, found through ``snibench.samplers``.

A sampler of one's own derives from ``snibench.api.Sampler``.
"""
