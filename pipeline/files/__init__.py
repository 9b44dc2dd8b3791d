"""Files of JSON, on this machine or in S3, as batches."""
