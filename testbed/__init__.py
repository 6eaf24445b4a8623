"""Two small worlds with exact ground truth, heads (`world`) and streets (`streets`), and what is measured in them."""
