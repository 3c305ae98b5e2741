"""MIPNet: several people from one crop (Khirodkar et al., "Multi-Instance Pose Networks", ICCV 2021)."""
