"""PoseBH (CVPR 2025): one network learns from data sets with different skeletons; with ViTPose, which it stands on."""
