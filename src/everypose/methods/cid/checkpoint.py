"""The released CID checkpoints: the authors' parameter names."""

from everypose.core.renaming import Renaming

RENAMING = Renaming(
    (
        ("iia.keypoint_center_conv.", "keypoints_and_center."),
        ("gfd.conv_down.", "instance_head.down."),
        ("gfd.c_attn.atn.", "instance_head.channel_attention."),
        ("gfd.s_attn.atn.", "instance_head.spatial_attention."),
        ("gfd.s_attn.conv.", "instance_head.spatial_conv."),
        ("gfd.fuse_attn.", "instance_head.fuse."),
        ("gfd.heatmap_conv.", "instance_head.heatmap."),
    )
)
