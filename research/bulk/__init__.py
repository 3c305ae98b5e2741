"""`everypose bulk` on large sets: constant memory, and nothing lost or duplicated by kills."""
