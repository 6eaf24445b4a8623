"""The papers' claims, measured on rendered scenes whose truth is known.

    python -m testbed.claims [NAME …] [--world heads|streets] [--repeats N] [--size full|short|tiny]
    python -m testbed.claims --list
    python -m testbed.claims --document                               fill docs/measurements/claims.md from what was measured

A run that was interrupted goes on where it was. ``worlds``: heads and streets. ``trial``: what an arm does.
``claims``: which arms make which claim. ``running``: paired repeats, kept after each one. ``document``: tables and
verdicts. Results are JSON and a plot for each claim, in docs/measurements/claims/WORLD-SIZE/ (tiny: out/claims/); where something
does not hold, NAME.md beside them says what was found when the reason was looked for.
"""
