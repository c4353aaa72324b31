"""Evidence of one class, shared by the beats of a cluster, in integers.

One beat's evidence for a ventricular one is noisy; that of the last beats of the same shape is less
so. The margin of the shared class, its score less the largest other one, is clipped and remembered
as a mean for each cluster of `beatlens.signals.beat_clusters`; a beat's score of the class is moved
half of the way from its own margin to that mean, from the third beat of a cluster on. The mean is
of about the last 16 beats, and of beats before this one only.

A mean over beats of one shape is what people who read a recording do when they label one template
for all of them; supraventricular beats look as the patient's usual ones do, so their evidence is
not shared. Needs numpy only.

>>> margins = ClusterMargins(Sharing(number=1, others=(0,), limit=100))
>>> [margins.push(margin, cluster=0, begins=number == 0) for number, margin in enumerate([60, 40, 2])]
[0, 0, 24]
"""  # noqa: E501

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.beat_clusters import CLUSTERS

MEMORY = 16
"""Beats that a cluster's mean is of, about."""
FEWEST = 2
"""Beats before one whose mean counts."""
FRACTION = 4
"""Bits after the point of a mean."""
CLUSTER_EVIDENCE = "cluster_evidence"
"""What this contribution to a score is called."""


@dataclass(frozen=True)
class Sharing:
    """Which class is shared, and how.

    Args:
        number: of the class.
        others: numbers of the classes that its margin is to.
        limit: steps of the evidence sum that a margin counts as at most, either way.
    """

    number: int
    others: tuple[int, ...]
    limit: int

    def margin(self, scores: NDArray[np.int64]) -> int:
        """The clipped margin of a beat's scores `[C]` with the log odds of the classes."""
        margin = int(scores[self.number] - scores[list(self.others)].max())
        return max(-self.limit, min(self.limit, margin))


class ClusterMargins:
    """Mean margins of a recording's clusters, beat by beat; the means outlive gaps."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing
        self._means, self._beats = [0] * CLUSTERS, [0] * CLUSTERS

    def push(self, margin: int | None, cluster: int, begins: bool) -> int:
        """Take a beat; returns what its cluster adds to the score of the shared class, in steps.

        Args:
            margin: of `Sharing.margin`; None for a beat without a decision.
            cluster: number of its cluster.
            begins: whether the cluster begins with this beat.
        """
        if begins:
            self._means[cluster] = self._beats[cluster] = 0
        if margin is None:
            return 0
        mean, beats = self._means[cluster], self._beats[cluster]
        self._beats[cluster] = min(MEMORY, beats + 1)
        self._means[cluster] += ((margin << FRACTION) - mean) // self._beats[cluster]
        return 0 if beats < FEWEST else ((mean >> FRACTION) - margin) >> 1

    def push_all(
        self,
        scores: NDArray[np.int64],
        clusters: NDArray[np.int64],
        begins: NDArray[np.bool_],
        decided: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """The same of a recording: scores `[b, C]` with the log odds of the classes.

        `decided` says which of them are assessable.
        """
        rows = zip(scores, clusters.tolist(), begins.tolist(), decided.tolist(), strict=True)
        return np.array(
            [
                self.push(self._sharing.margin(row) if known else None, cluster, begin)
                for row, cluster, begin, known in rows
            ],
            np.int64,
        )
