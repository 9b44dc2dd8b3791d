"""The first bytes by which formats are known."""

KPL_MAGIC = b"\xf3\x89\x9a\xc2"
GZIP = b"\x1f\x8b"
ZSTD_FRAME = b"\x28\xb5\x2f\xfd"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
