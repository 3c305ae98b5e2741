"""PoseBH: one network learns from data sets with different skeletons; with ViTPose, which it stands on.

Jeong et al., "PoseBH: Prototypical Multi-Dataset Training Beyond Human Pose Estimation", CVPR 2025; Xu et al.,
"ViTPose", NeurIPS 2022, and "ViTPose++", TPAMI 2023. Where the released code of PoseBH errs, the formulas here are what
it means.
"""
