"""What payloads hold that are not JSON: headers, and the formats, each to an exact JSON text."""
