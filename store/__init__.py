"""State of the service: rows in SQL, bytes in an object store. Imports without torch, NumPy or Pillow."""
