"""Features → labels and uncertainty: an ensemble of pixel MLPs over hypercolumns that are never built."""
