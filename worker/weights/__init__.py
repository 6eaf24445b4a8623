"""Published weights on this worker's machine: their catalogue, where they lie, and their download."""
