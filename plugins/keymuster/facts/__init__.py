"""Facts: one module each, named after the column that it computes."""
