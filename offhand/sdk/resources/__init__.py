"""One file for each noun of the service; :class:`offhand.Client` has one object of each."""
