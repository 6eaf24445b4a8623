"""The papers' claims, measured on rendered heads whose truth is known.

    python -m testbed.claims NAME [--repeats N] [--size tiny|full]     one claim; goes on where it was interrupted
    python -m testbed.claims --list
    python -m testbed.claims --document                               fill docs/claims.md from what was measured

``heads``: what an arm does. ``claims``: which arms make which claim. ``running``: paired repeats, kept after each one.
``document``: tables and verdicts. Results are JSON and a plot for each claim, in docs/claims/ (tiny: out/claims/).
"""
