"""A seeded simulation of the engine, and the bookkeeping that judges it.

    outcome = simulate(seed=7, steps=1500)       # raises Violation, with the seed, the step and the invariant in a sentence

`world` plays the shells: topics, a clock, transactions, restarts. `actions` chooses what happens at a step, from the seed and
the step's number alone, so a run can be repeated with fewer steps or symbols. `model` follows the inputs with plain
dictionaries and the rules as design and documents state them; `judge` and `tables` hold what the engine gave and wrote
against it. Nothing here calls the engine's own rules or trusts its counters.
"""
