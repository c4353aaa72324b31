"""What a training changes: an evidence network, and lookup tables where a kind has some."""

from __future__ import annotations

from torch import nn

from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables


class TabledNet(nn.Module):
    """An evidence network with the lookup tables that are trained with it.

    Args:
        net: the network.
        features: how many features of beats have a table; 0: none.
    """

    def __init__(self, net: EvidenceNet, features: int = 0) -> None:
        super().__init__()
        self.net = net
        self.tables = LookupTables(len(net.classes), features) if features else None
