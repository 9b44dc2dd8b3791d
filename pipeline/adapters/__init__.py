"""The only files that touch the outside: stores, streams, schema folders, telemetry."""
