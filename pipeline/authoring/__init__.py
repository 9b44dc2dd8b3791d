"""Tools for the author of a dataset: a draft, checks of new versions, tables, made-up documents."""
