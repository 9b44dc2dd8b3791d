"""Landing objects to tables, each identity once: what `pipeline lake` and its function do."""
