"""Skeletons: named keypoints, their links, flip pairs and sigmas; formats and conversion between skeletons."""
