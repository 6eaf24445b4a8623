"""Tables for people."""


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Return columns padded to their widest cell; no frame, so that it can be cut and searched."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [columns, *rows]]
    return "\n".join(line.rstrip() for line in lines)
