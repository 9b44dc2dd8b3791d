"""Documents of one dataset to Arrow columns: one by one, or all at once."""
