"""The papers' claims, measured on rendered scenes whose truth is known.

    python -m testbed.claims [NAME …] [--world heads|streets] [--repeats N] [--size full|short|tiny]
    python -m testbed.claims --main [--size …]                        the six main claims, five repeats: `make claims`
    python -m testbed.claims --list
    python -m testbed.claims --document                               write docs/measurements/claims.md from the results

An interrupted run continues. ``worlds``: heads and streets. ``trial``: what an arm does.
``claims``: which arms make which claim. ``running``: paired repeats, kept after each one. ``document``: tables and
verdicts. Results are JSON and a plot for each claim, in docs/measurements/claims/WORLD-SIZE/ (tiny: out/claims/);
NAME.md beside them explains a claim that does not hold.
"""
