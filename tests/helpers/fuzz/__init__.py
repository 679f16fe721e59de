"""Random modules, contexts, calls and exceptions: the judge of the promise that a look at a model leaves no trace.

A case is drawn from one integer (`grammar.draw`), run (`judge.judge`) and judged by comparing state bit by bit
(`state`, `world`). `python benchmarks/fuzz.py --seed N` repeats one case and prints its source.
"""
