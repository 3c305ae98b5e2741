"""HOTA, CLEAR and identity scores: TrackEval's golden values, literal definitions, properties."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.tracking.made_sequences import SEEDS, write_mot
from everypose.errors import EveryposeError
from everypose.evaluation.tracking.clear import clear
from everypose.evaluation.tracking.evaluate import TrackingScores, evaluate_tracking
from everypose.evaluation.tracking.hota import THRESHOLDS, hota
from everypose.evaluation.tracking.identity import identity
from everypose.evaluation.tracking.sequence import SequenceComparison

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "tracking_scores.json").read_text())


def by_trackeval_name(scores: TrackingScores) -> dict[str, float]:
    found, counts, ids = scores.hota, scores.clear, scores.identity
    return {
        "HOTA": found.hota,
        "DetA": found.det_a,
        "AssA": found.ass_a,
        "LocA": found.loc_a,
        "DetRe": found.det_re,
        "DetPr": found.det_pr,
        "AssRe": found.ass_re,
        "AssPr": found.ass_pr,
        "MOTA": counts.mota,
        "MOTP": counts.motp,
        "IDSW": counts.switches,
        "Frag": counts.fragments,
        "CLR_FP": counts.fp,
        "CLR_FN": counts.fn,
        "MT": counts.mostly_tracked,
        "PT": counts.partly_tracked,
        "ML": counts.mostly_lost,
        "IDF1": ids.idf1,
        "IDR": ids.idr,
        "IDP": ids.idp,
        "IDTP": ids.idtp,
        "IDFP": ids.idfp,
        "IDFN": ids.idfn,
    }


@pytest.mark.parametrize("layout", ["MOT15", "MOT16"])
def test_scores_are_those_of_trackeval(layout, tmp_path):
    ground_truth, tracks = write_mot(tmp_path, layout)
    found = evaluate_tracking(ground_truth, tracks, quiet=True)
    assert found.similarity == "box"
    assert list(found.sequences) == [f"made-{seed}" for seed in SEEDS]
    for name, scores in [*found.sequences.items(), ("COMBINED_SEQ", found.overall)]:
        golden = GOLDEN[layout][name]
        numbers = by_trackeval_name(scores)
        assert {key: numbers[key] for key in golden} == pytest.approx(golden, rel=0, abs=1e-9)


def comparison(seed, people=4, tracks=5, frames=8):
    """Random presence and similarities."""
    rng = np.random.default_rng(seed)
    true_ids, track_ids, similarities = [], [], []
    for _ in range(frames):
        true_ids.append(np.flatnonzero(rng.uniform(size=people) < 0.7))
        track_ids.append(np.flatnonzero(rng.uniform(size=tracks) < 0.7))
        # A power makes most pairs unlike, as they are in videos.
        similarities.append(rng.uniform(size=(len(true_ids[-1]), len(track_ids[-1]))) ** 2)
    return SequenceComparison.create(true_ids, track_ids, similarities)


def literal_hota(sequence):
    """HOTA written with loops over matches, from the paper's definitions, for given matches of each frame."""
    frames = list(zip(sequence.true_ids, sequence.track_ids, sequence.similarities, strict=True))
    true_count = {g: sum(g in ids for ids, _, _ in frames) for g in range(sequence.people)}
    track_count = {t: sum(t in ids for _, ids, _ in frames) for t in range(sequence.tracks)}
    aligned = {}
    for g in range(sequence.people):
        for t in range(sequence.tracks):
            both = 0.0
            for true_ids, track_ids, similarity in frames:
                if g in true_ids and t in track_ids:
                    i, j = list(true_ids).index(g), list(track_ids).index(t)
                    both += similarity[i, j] / (similarity[i].sum() + similarity[:, j].sum() - similarity[i, j])
            aligned[g, t] = both / (true_count[g] + track_count[t] - both)
    scores = []
    for alpha in THRESHOLDS:
        matches, found = [], 0
        for true_ids, track_ids, similarity in frames:
            best, chosen = -1.0, []
            few, many = sorted((len(true_ids), len(track_ids)))
            for order in permutations(range(many), few):
                pairs = [(a, b) if len(true_ids) <= len(track_ids) else (b, a) for a, b in enumerate(order)]
                value = sum(aligned[true_ids[i], track_ids[j]] * similarity[i, j] for i, j in pairs)
                if value > best:
                    best, chosen = value, pairs
            for i, j in chosen:
                if similarity[i, j] >= alpha:
                    matches.append((int(true_ids[i]), int(track_ids[j])))
        found = len(matches)
        total = sum(true_count.values()) + sum(track_count.values()) - found
        association = 0.0
        for g, t in matches:
            together = matches.count((g, t))
            association += together / (true_count[g] + track_count[t] - together)
        scores.append(np.sqrt(association / max(1, found) * found / total))
    return np.mean(scores)


@pytest.mark.parametrize("seed", range(4))
def test_hota_is_the_papers_definition(seed):
    sequence = comparison(seed, people=3, tracks=4, frames=6)
    assert hota(sequence).hota == pytest.approx(literal_hota(sequence))


@pytest.mark.parametrize("seed", range(6))
def test_idf1_is_that_of_the_best_mapping(seed):
    sequence = comparison(seed)
    frames = list(zip(sequence.true_ids, sequence.track_ids, sequence.similarities, strict=True))
    best = 0
    for order in permutations(range(sequence.tracks), sequence.people):
        found = sum(
            sum(
                similarity[i, list(track_ids).index(order[g])] >= 0.5
                for i, g in enumerate(true_ids)
                if order[g] in track_ids
            )
            for true_ids, track_ids, similarity in frames
        )
        best = max(best, found)
    scores = identity(sequence)
    boxes, tracked = (sum(len(frame[side]) for frame in frames) for side in (0, 1))
    assert (scores.idtp, scores.idfn, scores.idfp) == (best, boxes - best, tracked - best)
    assert scores.idf1 == pytest.approx(2 * best / (boxes + tracked))


@given(st.integers(0, 100_000), st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_counts_add_up_and_shares_are_shares(seed, people, tracks):
    sequence = comparison(seed, people, tracks, 5)
    boxes, tracked = (sum(map(len, ids)) for ids in (sequence.true_ids, sequence.track_ids))
    counts, ids, shares = clear(sequence), identity(sequence), hota(sequence)
    assert counts.tp + counts.fn == ids.idtp + ids.idfn == boxes
    assert counts.tp + counts.fp == ids.idtp + ids.idfp == tracked
    assert np.all(shares.tp + shares.fn == boxes)
    assert np.all(np.diff(shares.tp) <= 0)
    assert counts.mostly_tracked + counts.partly_tracked + counts.mostly_lost == sequence.people
    for value in (shares.hota, shares.det_a, shares.ass_a, shares.loc_a, ids.idf1, ids.idp, ids.idr, counts.motp):
        assert 0 <= value <= 1
    assert counts.mota <= 1


@given(st.integers(0, 100_000))
@settings(max_examples=25, deadline=None)
def test_renaming_ids_changes_nothing(seed):
    sequence = comparison(seed)
    rng = np.random.default_rng(seed)
    names, tracks = rng.permutation(1000)[: sequence.people], rng.permutation(1000)[: sequence.tracks]
    renamed = SequenceComparison.create(
        [names[ids] for ids in sequence.true_ids], [tracks[ids] for ids in sequence.track_ids], sequence.similarities
    )
    assert hota(renamed).hota == pytest.approx(hota(sequence).hota)
    assert identity(renamed) == identity(sequence)
    assert clear(renamed) == clear(sequence)


def test_a_perfect_tracker():
    frames = [np.arange(3)] * 4
    scores = TrackingScores.of(SequenceComparison.create(frames, frames, [np.eye(3)] * 4))
    assert set(scores.numbers().values()) == {1.0}
    assert scores.counts() == dict.fromkeys(scores.counts(), 0) | {"mostly tracked": 3}


@pytest.mark.parametrize(
    ("true_ids", "track_ids"), [([[], []], [[1], [1]]), ([[1], [1]], [[], []]), ([[], []], [[], []])]
)
def test_without_people_or_tracks(true_ids, track_ids):
    matrices = [np.zeros((len(a), len(b))) for a, b in zip(true_ids, track_ids, strict=True)]
    scores = TrackingScores.of(SequenceComparison.create(true_ids, track_ids, matrices))
    assert (scores.hota.hota, scores.identity.idf1) == (0, 0)
    assert scores.clear.mota == -scores.clear.fp
    assert scores.clear.mostly_lost == len({person for ids in true_ids for person in ids})


@pytest.mark.parametrize(
    ("true_ids", "track_ids", "similarities", "message"),
    [
        ([[1]], [[1], [1]], [[[1.0]]], "1 frames of true ids, 2 of track ids"),
        ([[1]], [[1]], [[[1.0, 0.5]]], r"frame 0: similarities of shape \(1, 2\)"),
        ([[1, 1]], [[1]], [[[1.0], [0.5]]], "frame 0: a true id appears twice"),
        ([[1]], [[2, 2]], [[[1.0, 0.5]]], "frame 0: a track id appears twice"),
    ],
)
def test_sequences_that_do_not_fit(true_ids, track_ids, similarities, message):
    with pytest.raises(EveryposeError, match=message):
        SequenceComparison.create(true_ids, track_ids, similarities)
