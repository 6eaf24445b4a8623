"""Encoders that others have published (ReStyle, pSp, e4e), read from their files and used like our own."""
