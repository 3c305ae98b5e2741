"""BoIR: box-supervised instance representation for multi-person pose estimation (BMVC 2023)."""
