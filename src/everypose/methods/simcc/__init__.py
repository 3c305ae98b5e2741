"""SimCC (Li et al., ECCV 2022), the output of RTMPose (2023) and RTMW (2024): a classification for each coordinate."""
