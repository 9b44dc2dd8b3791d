"""For whoever makes a dataset: a draft of it, its versions, its tables, made-up documents."""
