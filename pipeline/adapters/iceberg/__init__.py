"""Iceberg tables, through pyiceberg: the only folder that imports it."""
