"""PoseBH (CVPR 2025): one network learns from datasets with different skeletons, by keypoint prototypes.

Jeong et al., "PoseBH: Prototypical Multi-Dataset Training Beyond Human Pose Estimation". Where the released code
deviates from the paper by mistake, these modules implement the paper's formulas.
"""
