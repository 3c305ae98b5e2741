"""The methods: one package for each paper, and what they share. README.md says how to add one."""

from everypose.core.plugins import entry_points_of
from everypose.methods.boir.settings import METHOD as BOIR
from everypose.methods.cid.settings import METHOD as CID
from everypose.methods.method import Method
from everypose.methods.mipnet.settings import METHOD as MIPNET
from everypose.methods.posebh.settings import METHOD as POSEBH
from everypose.methods.posefix.settings import METHOD as POSEFIX
from everypose.methods.top_down.settings import HRNET, SIMPLE_BASELINE
from everypose.methods.vitpose.settings import METHOD as VITPOSE

METHODS_GROUP = "everypose.methods"
"""The entry point group by which other packages add methods: each entry is a `Method`."""

BUILT_IN = (BOIR, CID, SIMPLE_BASELINE, HRNET, MIPNET, VITPOSE, POSEBH, POSEFIX)
"""The methods of everypose."""

METHODS: tuple[Method, ...] = (
    *BUILT_IN,
    *(one for one in entry_points_of(METHODS_GROUP) if isinstance(one, Method)),
)
"""All methods: those of everypose, then those that other installed packages register."""
