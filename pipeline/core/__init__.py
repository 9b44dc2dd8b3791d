"""The pure core: bytes, dicts and Arrow; no clock, environment, logging, network or files.

Stations (`events`, `kpl`, `payload`, `routing`, `convert`, `rules`, `partition`, `encode`,
`layout`, `deadletter`) share one shape: what came in and what the station needs, to what is
good and what is rejected. They never raise for bad data and never import each other; they
meet only in `pipeline.flow`.

Below them: what a dataset is (`dataset`), how its documents are read (`documents`) and what its
schema means (`schema`); what stands around a payload (`unpack`), how documents stand in it
(`framing`), and what is not JSON at all (`foreign`); `records`, the nouns that all of them
share, and `magic`, the bytes by which formats are known.
"""
