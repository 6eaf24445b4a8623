"""What a label is for each task, and how well one label agrees with another."""
