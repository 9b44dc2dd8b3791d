"""Kinesis Data Streams to partitioned Parquet and CSV on S3, with nothing lost.

Start reading at `pipeline.flow`: it is the whole road on one page.
"""
