"""CID: contextual instance decoupling for multi-person pose estimation (CVPR 2022)."""
