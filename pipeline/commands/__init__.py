"""The commands of `pipeline`, a module each."""
