"""Multi-person tracking scores (HOTA, CLEAR, identity) on MOT and PoseTrack18 layouts."""
