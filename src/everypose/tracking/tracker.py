"""Online tracking of people by pose, box and colors, with a Kalman motion model.

Association has two stages (ByteTrack, Zhang et al., ECCV 2022): high-score detections first, which may also start
tracks; then low-score ones, which may only continue recently detected tracks. A newly confirmed track is re-identified
with a lost one if colors, size and distance match.
"""

import numpy as np

from everypose.core.arrays import Float64, Image, Int64, Mask
from everypose.core.geometry import box_iou
from everypose.data.formats.coco import AREA_OF_BOX
from everypose.errors import UsageError
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from everypose.tracking import motion
from everypose.tracking.appearance import HISTOGRAM_BINS, color_histograms, color_similarity
from everypose.tracking.association import assign, covered_share, pair_areas, pose_similarity
from everypose.tracking.body_mass import BodyMass
from everypose.tracking.camera import CameraMotion
from everypose.tracking.motion import box_scale
from everypose.tracking.score_range import ScoreRange
from everypose.tracking.settings import TrackerSettings
from everypose.tracking.tracks import Detections, Tracks

RECENT = 0.5
"""Seconds since the last confident detection for which a less confident detection may continue a track."""
FOLLOWED = 1.0
"""Seconds from the first detection to the last after which a missed person is returned at the predicted position."""
DETECTED_SHARE = 0.75
"""Returned boxes of clearly visible people are moved by this share of the way to the detected center of mass."""
UNCONFIRMED_MEMORY = 0.3
"""Seconds without a detection after which an unconfirmed track ends."""
OCCLUDED_SHARE = 0.5
"""Share of a box that another person must cover for its person to count as occluded."""
REACH = 1.0
WALKING_SPEED = 1.5
"""A lost person may be re-identified within REACH sizes plus WALKING_SPEED sizes for each second."""
BORDER = 0.1
"""Boxes nearer to the border of the frame than this share of their size reach it."""
SIZE_RATIO = 1.6
"""Largest ratio of sizes between a lost track and the person re-identified with it."""


class Tracker:
    """Follows the people of one video, frame by frame.

    Args:
        skeleton: of the people. With unknown sigmas poses are not compared, only boxes.
        settings: thresholds, weights and times.

    Attributes:
        renamed: ids of tracks that were recognized as an earlier one, with the earlier id.

    Example:
        >>> skeleton = Skeleton.named("coco")
        >>> tracker = Tracker(skeleton)
        >>> def person(x):
        ...     return People(np.full((1, 17, 3), x + 1), [0.9], skeleton, boxes=[[x, 0, x + 40, 100]])
        >>> [tracker.update(person(x), time).ids.tolist() for time, x in ((0.0, 0), (0.1, 3), (0.2, 6))]
        [[1], [1], [1]]
    """

    def __init__(self, skeleton: Skeleton, settings: TrackerSettings | None = None) -> None:
        self.skeleton = skeleton
        self.settings = settings or TrackerSettings()
        self.renamed: dict[int, int] = {}
        self.scores = ScoreRange(self.settings)
        self._sigmas = None if skeleton.sigmas is None else np.array(skeleton.sigmas, dtype=np.float64)
        self._mass = BodyMass(skeleton)
        self._camera = CameraMotion()
        self._time: float | None = None
        self._frame_size = np.full(2, np.inf)
        self._begun = 0
        self._tracks = Tracks.start(_no_detections(len(skeleton)), 0.0, first_id=1, settings=self.settings.motion)

    def update(self, people: People, time: float, *, image: Image | None = None) -> People:
        """Find which tracks a frame's people continue.

        Args:
            people: the frame's detections.
            time: of the frame in seconds, later than the frame before.
            image: (H, W, 3) uint8 RGB frame; with it, colors are compared and the camera's motion is followed.

        Returns:
            The people with an id, in smoothed boxes. After them, in predicted boxes, come people who are occluded or
            were missed for less than half a second; the scores of their keypoints are 0.

        Raises:
            UsageError: if time does not advance, or the people have another skeleton.
        """
        tracks = self.follow(people, time, image=image)
        shown = tracks.confirmed & (tracks.evidence >= self.settings.min_reliability * tracks.detections)
        seen = tracks.select(shown & (tracks.rows >= 0))
        hidden = tracks.select(shown & (tracks.rows < 0) & (time - tracks.last_seen <= self.settings.hidden_seconds))
        occluded = covered_share(hidden.motion.boxes, seen.motion.boxes) > OCCLUDED_SHARE
        hidden = hidden.select(occluded | self._is_missed(hidden, time))
        hidden_keypoints = hidden.predicted_keypoints()
        hidden_keypoints[..., 2] = 0
        return People(
            np.concatenate([people.keypoints[seen.rows], hidden_keypoints]),
            np.concatenate([seen.scores, hidden.scores]),
            people.skeleton,
            boxes=np.concatenate([self._returned_boxes(seen, people), hidden.motion.boxes]),
            image=people.image,
            ids=np.concatenate([seen.ids, hidden.ids]),
        )

    def follow(self, people: People, time: float, *, image: Image | None = None) -> Tracks:
        """All tracks after a frame, unconfirmed ones included; arguments and errors as `update`."""
        if people.skeleton.keypoints != self.skeleton.keypoints:
            raise UsageError(f"the tracker follows {self.skeleton.name!r} people, not {people.skeleton.name!r} people")
        if self._time is not None and not time > self._time:
            raise UsageError(f"the frame at {time:g} s comes after the one at {self._time:g} s: times must increase")
        detections = self._detections(people, image)
        self._predict(time, image, detections)
        free = self._associate(detections, time)
        self._start(detections.select(free & (detections.scores >= self.scores.high)), time)
        self._confirm(time)
        self._end(time)
        return self._tracks

    def _returned_boxes(self, seen: Tracks, people: People) -> Float64:
        """(T, 4) boxes of people who were detected: the motion model's, moved sideways towards the center of mass.

        The filter is made for prediction, and lags behind people who turn or stop. The center of mass of a clearly
        visible person is steady enough to follow them: its errors last for about a second, so that the filter hardly
        removes them.
        """
        found = people.boxes[seen.rows].astype(np.float64)
        if self.settings.boxes == "detected":
            return found
        boxes = seen.motion.boxes
        centered = self._mass.centered_boxes(people.keypoints[seen.rows].astype(np.float64), found)
        lag = (centered - boxes)[:, [0, 2]].mean(axis=1)
        boxes[:, [0, 2]] += (DETECTED_SHARE * self.scores.reliability(seen.scores) * lag)[:, None]
        return boxes

    def _is_missed(self, tracks: Tracks, time: float) -> Mask:
        """(T,) whether a person is probably still there: followed for long, just missed, and not leaving the frame."""
        followed = tracks.last_seen - tracks.first_seen >= FOLLOWED
        inside = ~self._at_border(tracks.motion.center, tracks.motion.size)
        missed: Mask = followed & (time - tracks.last_seen <= RECENT) & inside
        return missed

    def _detections(self, people: People, image: Image | None) -> Detections:
        """The people whose score counts, with what is compared."""
        scores = people.scores.astype(np.float64)
        self.scores.observe(scores)
        rows = np.flatnonzero(scores >= self.scores.low)
        keypoints = people.keypoints[rows].astype(np.float64)
        boxes = self._mass.centered_boxes(keypoints, people.boxes[rows].astype(np.float64))
        return Detections(
            rows=rows,
            keypoints=keypoints,
            boxes=boxes,
            scores=scores[rows],
            reliability=self.scores.reliability(scores[rows]),
            colors=np.zeros((len(rows), HISTOGRAM_BINS)) if image is None else color_histograms(image, boxes),
        )

    def _predict(self, time: float, image: Image | None, detections: Detections) -> None:
        """Move all tracks to the time of the frame."""
        tracks = self._tracks
        tracks.rows[:] = -1
        if self._time is not None:
            tracks.motion = motion.predict(tracks.motion, time - self._time, self.settings.motion)
        if image is not None:
            self._frame_size = np.array([image.shape[1], image.shape[0]], dtype=np.float64)
            if self.settings.camera_motion:
                tracks.move_with_camera(self._camera.update(image, detections.boxes))
        self._time = time

    def _associate(self, detections: Detections, time: float) -> Mask:
        """Continue tracks; True for each detection (N,) that continues none."""
        tracks, settings = self._tracks, self.settings
        similarity, allowed = self._similarity(detections, time)
        unseen = time - tracks.last_seen
        high = detections.scores >= self.scores.high
        for candidates, stage in ((unseen <= settings.memory, high), (unseen <= RECENT, ~high)):
            rows = np.flatnonzero(candidates & (tracks.rows < 0))
            columns = np.flatnonzero(stage)
            pairs = np.ix_(rows, columns)
            matched_rows, matched_columns = assign(similarity[pairs], allowed[pairs])
            chosen = columns[matched_columns]
            tracks.add(rows[matched_rows], detections.select(chosen), time, settings.motion)
        return ~np.isin(detections.rows, tracks.rows)

    def _similarity(self, detections: Detections, time: float) -> tuple[Float64, Mask]:
        """(T, N) similarities of tracks and detections, and which pairs may be matched."""
        tracks, settings = self._tracks, self.settings
        boxes = tracks.motion.boxes
        similarity = box_iou(boxes, detections.boxes)
        if self._sigmas is not None:
            poses = pose_similarity(
                tracks.predicted_keypoints(),
                detections.keypoints,
                areas=pair_areas(boxes, detections.boxes),
                sigmas=self._sigmas,
                position_variance=tracks.motion.position_variance,
            )
            similarity = settings.oks_weight * poses + (1 - settings.oks_weight) * similarity
        colors = color_similarity(tracks.colors, detections.colors)
        # Colors of someone who is being occluded are another person's: they rule out long-lost tracks only.
        recent = (time - tracks.last_seen <= RECENT)[:, None]
        fitting = (colors >= settings.min_color) | recent
        return similarity * colors, (similarity >= settings.min_similarity) & fitting

    def _start(self, detections: Detections, time: float) -> None:
        """Start a track for each of these detections."""
        new = Tracks.start(detections, time, first_id=self._begun + 1, settings=self.settings.motion)
        self._begun += len(new)
        self._tracks = self._tracks.extend(new)

    def _confirm(self, time: float) -> None:
        """Confirm tracks with enough evidence; re-identify them with a lost track that fits."""
        tracks = self._tracks
        new = np.flatnonzero(~tracks.confirmed & (tracks.evidence >= self.settings.confirmation))
        tracks.confirmed[new] = True
        unseen = time - tracks.last_seen
        lost = np.flatnonzero(tracks.confirmed & (unseen > 0) & (unseen <= self.settings.reassociation_seconds))
        if not len(new) or not len(lost):
            return
        rows, columns = assign(*self._recognition(lost, new))
        for old, again in zip(lost[rows].tolist(), new[columns].tolist(), strict=True):
            self.renamed[int(tracks.ids[again])] = int(tracks.ids[old])
            tracks.ids[again] = tracks.ids[old]
            tracks.evidence[again] += tracks.evidence[old]
            tracks.detections[again] += tracks.detections[old]
        self._tracks = tracks.select(~np.isin(np.arange(len(tracks)), lost[rows]))

    def _recognition(self, lost: Int64, new: Int64) -> tuple[Float64, Mask]:
        """(L, N) how well new tracks fit lost ones, and which pairs are possible."""
        old, again = self._tracks.select(lost), self._tracks.select(new)
        gap = again.first_seen - old.last_seen[:, None]
        ratio = old.motion.scale[:, None] / again.motion.scale
        scale = np.sqrt(old.motion.scale[:, None] * again.motion.scale)
        distance = np.linalg.norm(old.anchor[:, None] - again.first_center, axis=2) / scale
        colors = color_similarity(old.colors, again.colors)
        known = np.logical_and.outer(
            old.colors.any(axis=1) & ~self._at_border(old.anchor, old.motion.size),
            again.colors.any(axis=1) & ~self._at_border(again.first_center, again.motion.size),
        )
        possible = (
            known
            & (gap > 0)
            & (distance <= REACH + WALKING_SPEED * gap)
            & (np.maximum(ratio, 1 / ratio) <= SIZE_RATIO)
            & (colors >= self.settings.reassociation_color)
        )
        return colors * self._shape_similarity(old, again) / (1 + distance), possible

    def _shape_similarity(self, first: Tracks, second: Tracks) -> Float64:
        """(T, N) OKS of poses moved to the same center and scaled to the same size; 1 if sigmas are unknown."""
        if self._sigmas is None:
            return np.ones((len(first), len(second)))
        poses = []
        for tracks in (first, second):
            pose = tracks.keypoints.copy()
            pose[..., :2] = (pose[..., :2] - tracks.anchor[:, None]) / tracks.motion.scale[:, None, None]
            poses.append(pose)
        return pose_similarity(
            poses[0],
            poses[1],
            areas=np.full((len(first), len(second)), AREA_OF_BOX),
            sigmas=self._sigmas,
            position_variance=np.zeros(len(first)),
        )

    def _at_border(self, centers: Float64, sizes: Float64) -> Mask:
        """(T,) whether boxes reach the border of the frame: who leaves or enters there is not someone lost inside."""
        margin = BORDER * box_scale(sizes)[:, None]
        outside = (centers - sizes / 2 < margin) | (centers + sizes / 2 > self._frame_size - margin)
        reached: Mask = np.any(outside, axis=1)
        return reached

    def _end(self, time: float) -> None:
        """Drop tracks that have been without a detection for too long."""
        tracks, settings = self._tracks, self.settings
        longest = max(settings.memory, settings.reassociation_seconds)
        memory = np.where(tracks.confirmed, longest, UNCONFIRMED_MEMORY)
        self._tracks = tracks.select(time - tracks.last_seen <= memory)


def _no_detections(keypoints: int) -> Detections:
    """No detections of people with ``keypoints`` keypoints."""
    return Detections(
        rows=np.zeros(0, dtype=np.int64),
        keypoints=np.zeros((0, keypoints, 3)),
        boxes=np.zeros((0, 4)),
        scores=np.zeros(0),
        reliability=np.zeros(0),
        colors=np.zeros((0, HISTOGRAM_BINS)),
    )
