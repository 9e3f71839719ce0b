"""The wire: bytes in, values out; no I/O and no clock."""
