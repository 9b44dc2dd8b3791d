"""What the committer decides, without a table or a store: names, spans, ranges, identities."""
