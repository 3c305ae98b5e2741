"""ViTPose (NeurIPS 2022) and ViTPose++ (TPAMI 2023): a plain vision transformer with a heatmap head."""
