"""The only files that import boto3."""
