"""The service on this machine: what of it is installed, its processes, checks of it."""
