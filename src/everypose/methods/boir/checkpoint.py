"""The released BoIR checkpoints: the authors' parameter names and what they tell of the network."""

from everypose.core.renaming import Renaming

_HEADS = (("center", "center"), ("buk", "auxiliary.buk"), ("emb", "auxiliary.emb"), ("bbox", "auxiliary.bbox"))

RENAMING = Renaming(
    (
        ("multihead.neck.0.", "neck."),
        *(
            (f"multihead.{theirs}_head.head.{part}", f"{ours}.{own}")
            for theirs, ours in _HEADS
            for part, own in (
                ("0.", ""),
                ("0.downsample.conv.", "shortcut.0."),
                ("0.downsample.norm_layer.", "shortcut.1."),
                ("1.", "output."),
            )
        ),
        ("kpt_head.conv_down.", "instance_head.down."),
        ("kpt_head.c_attn.atn.", "instance_head.channel_attention."),
        ("kpt_head.s_attn.atn.", "instance_head.spatial_attention."),
        ("kpt_head.s_attn.conv.", "instance_head.spatial_conv."),
        ("kpt_head.fuse_attn.0.", "instance_head.fuse."),
        ("kpt_head.heatmap_conv.", "instance_head.heatmap."),
    )
)
