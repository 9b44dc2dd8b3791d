"""Avro schemas, the types they are read as, and what each type accepts."""
