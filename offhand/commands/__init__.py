"""The commands of `offhand`, one file for each noun. :mod:`offhand.cli` puts them together.

Modules here import nothing heavy at their top, so that `offhand --help` is quick.
"""
