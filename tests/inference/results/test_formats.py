import csv
import errno
import json
from contextlib import suppress
from unittest.mock import Mock

import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.inference.results import FrameResult, read_results
from everypose.inference.results.coco import CocoWriter, WholeCocoWriter, read_coco_results, read_people_by_image
from everypose.inference.results.deeplabcut import DeepLabCutWriter, read_deeplabcut
from everypose.inference.results.openpose import BODY_25, COCO_18, OpenPoseWriter, openpose_json
from everypose.inference.results.trc import TrcWriter
from everypose.inference.results.ultralytics import UltralyticsWriter, read_ultralytics
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from inference.results.made import COCO, people, photos, same, same_people, video


def write(writer, results):
    with writer:
        for result in results:
            writer.add(result)
    return writer.path


@pytest.mark.parametrize("results", [video(), video(tracked=False), photos()], ids=["tracked", "video", "photos"])
def test_a_coco_list_reads_back(tmp_path, results):
    path = write(CocoWriter(tmp_path / "r.json"), results)
    read = list(read_coco_results(path, COCO))
    assert [(one.frame, one.time, one.image_id) for one in read] == [
        (one.frame, one.time, one.image_id) for one in results if len(one.people)
    ]
    for one, other in zip((one for one in results if len(one.people)), read, strict=True):
        np.testing.assert_array_equal(one.people.keypoints, other.people.keypoints)
        np.testing.assert_array_equal(one.people.ids, other.people.ids)
        np.testing.assert_allclose(one.people.boxes, other.people.boxes, rtol=1e-5)
    first = json.loads(path.read_text())[0]
    assert first["file_name"] in ("a, b.mp4", "a.jpg")
    assert ("track_id" in first) == (results[0].people.ids is not None)


def test_a_coco_list_is_whole_after_every_frame(tmp_path):
    writer = CocoWriter(tmp_path / "r.json")
    counts = []
    for result in [FrameResult("a", People.empty(COCO)), *video()]:
        writer.add(result)
        counts.append(len(json.loads((tmp_path / "r.json").read_text())))
    writer.close()
    assert counts == [0, 2, 2, 3, 6]


def test_a_list_for_which_the_disk_is_full_at_its_end_is_one_line(tmp_path, monkeypatch):
    writer = WholeCocoWriter(tmp_path / "r.json")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(writer._file, "write", Mock(side_effect=full), raising=False)
    with pytest.raises(EveryposeError, match=r"cannot write .*r\.json: No space left on device"), writer:
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_coco_list_without_people(tmp_path):
    assert write(CocoWriter(tmp_path / "r.json"), []).read_text() == "[]\n"


@pytest.mark.parametrize("read", [lambda *given: list(read_coco_results(*given)), read_people_by_image])
def test_a_wrong_entry_of_a_coco_list_names_the_file(tmp_path, read):
    (tmp_path / "c.json").write_text(json.dumps([{"image_id": 1, "keypoints": [1, 2], "score": 0.5}]))
    with pytest.raises(EveryposeError, match=r"c\.json: .*needs 51 keypoint numbers, it has 2"):
        read(tmp_path / "c.json", COCO)


def test_a_coco_list_needs_a_skeleton(tmp_path):
    with pytest.raises(UsageError, match="give a skeleton"):
        read_results(write(CocoWriter(tmp_path / "r.json"), video()))


# The orders of OpenPose's documentation, doc/02_output.md.
OPENPOSE_25 = [
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee",
    "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar", "LBigToe", "LSmallToe", "LHeel", "RBigToe",
    "RSmallToe", "RHeel",
]  # fmt: skip
OPENPOSE_18 = [
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "RHip", "RKnee", "RAnkle", "LHip",
    "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar",
]  # fmt: skip


def openpose_point(person, name):
    """The literal twin: OpenPose's keypoint of a COCO person."""
    middle = {"Neck": "shoulder", "MidHip": "hip"}.get(name)
    if middle:
        left, right = person[f"left_{middle}"], person[f"right_{middle}"]
        return [(left[0] + right[0]) / 2, (left[1] + right[1]) / 2, min(left[2], right[2])]
    side = {"L": "left_", "R": "right_"}.get(name[0], "")
    own = f"{side}{name[len(side) > 0 :].lower()}"
    return list(person[own]) if own in COCO.keypoints else [0, 0, 0]


@pytest.mark.parametrize(("layout", "names"), [(BODY_25, OPENPOSE_25), (COCO_18, OPENPOSE_18)], ids=["25", "18"])
def test_openpose_keypoints_by_name(layout, names):
    some = people(5, 2, ids=[4, 9])
    content = openpose_json(some, layout)
    assert content["version"] == 1.3
    for person, entry in zip(some, content["people"], strict=True):
        assert entry["person_id"] == [person.id]
        expected = [openpose_point(person, name) for name in names]
        np.testing.assert_allclose(np.reshape(entry["pose_keypoints_2d"], (-1, 3)), expected, rtol=1e-6)
        assert entry["face_keypoints_2d"] == entry["hand_left_keypoints_2d"] == entry["pose_keypoints_3d"] == []


def test_openpose_of_the_whole_body():
    body = Skeleton.named("coco_wholebody")
    some = people(6, 1, skeleton=body)
    entry = openpose_json(some)["people"][0]
    pose = np.reshape(entry["pose_keypoints_2d"], (25, 3))
    for name, place in (("left_heel", 21), ("right_big_toe", 22), ("left_small_toe", 20)):
        np.testing.assert_allclose(pose[place], some[0][name], rtol=1e-6)
    face = np.reshape(entry["face_keypoints_2d"], (70, 3))
    np.testing.assert_allclose(face[67], some[0]["face-67"], rtol=1e-6)
    assert not face[68:].any()
    hand = np.reshape(entry["hand_right_keypoints_2d"], (21, 3))
    np.testing.assert_allclose(hand[20], some[0]["right_pinky_finger4"], rtol=1e-6)
    assert entry["person_id"] == [-1]


def test_openpose_of_a_skeleton_with_its_own_middles():
    some = people(7, 1, skeleton=Skeleton.named("mpii"))
    pose = np.reshape(openpose_json(some)["people"][0]["pose_keypoints_2d"], (25, 3))
    np.testing.assert_allclose(pose[1], some[0]["thorax"], rtol=1e-6)
    np.testing.assert_allclose(pose[8], some[0]["pelvis"], rtol=1e-6)
    assert not pose[15:].any()


def test_openpose_files_read_back(tmp_path):
    path = write(OpenPoseWriter(tmp_path / "openpose", "clip"), video())
    assert sorted(file.name for file in path.iterdir())[3] == "clip_000000000003_keypoints.json"
    read = list(read_results(path))
    assert [(one.file, one.frame, len(one.people)) for one in read] == [
        ("clip", f, n) for f, n in enumerate([2, 0, 1, 3])
    ]
    for one, other in zip(video(), read, strict=True):
        for person, back in zip(one.people, other.people, strict=True):
            assert person.id == back.id
            for name in COCO.keypoints:
                assert back[name] == person[name]
    rewritten = write(OpenPoseWriter(tmp_path / "again", "clip"), read)
    for file in path.iterdir():
        assert (rewritten / file.name).read_bytes() == file.read_bytes()


def test_an_openpose_file_of_a_photo(tmp_path):
    path = write(OpenPoseWriter(tmp_path, "a", layout=COCO_18), photos()[:1])
    read = list(read_results(path / "a_keypoints.json"))
    assert (read[0].file, read[0].frame, read[0].people.skeleton) == ("a", None, COCO_18)


@pytest.mark.parametrize("content", ["{}", "[]", '{"people": [{"pose_keypoints_2d": [1, 2]}]}'])
def test_a_json_that_is_not_openpose(tmp_path, content):
    (tmp_path / "x_keypoints.json").write_text(content)
    with pytest.raises(EveryposeError, match="is not an OpenPose file"):
        list(read_results(tmp_path))


def test_ultralytics_files_read_back(tmp_path):
    path = write(UltralyticsWriter(tmp_path / "labels", "clip"), video())
    assert sorted(file.name for file in path.iterdir()) == [f"clip_{frame}.txt" for frame in (1, 2, 3, 4)]
    read = list(read_ultralytics(path, COCO, width=640, height=480))
    assert [one.frame for one in read] == [0, 1, 2, 3]
    for one, other in zip(video(), read, strict=True):
        np.testing.assert_allclose(one.people.keypoints, other.people.keypoints, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(one.people.boxes, other.people.boxes, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(one.people.scores, other.people.scores, rtol=1e-6)
        assert np.array_equal(one.people.ids if len(one.people) else None, other.people.ids)


def test_an_ultralytics_line_number_by_number(tmp_path):
    result = FrameResult("a.jpg", people(3, 1, ids=[5]), 640, 480)
    path = write(UltralyticsWriter(tmp_path, "a"), [result])
    numbers = [float(word) for word in (path / "a.txt").read_text().split()]
    person = result.people[0]
    x1, y1, x2, y2 = (float(value) for value in person.box)
    expected = [0, (x1 + x2) / 2 / 640, (y1 + y2) / 2 / 480, (x2 - x1) / 640, (y2 - y1) / 480]
    for x, y, score in person.keypoints.tolist():
        expected += [x / 640, y / 480, score]
    np.testing.assert_allclose(numbers, [*expected, person.score, 5], rtol=1e-6)


def test_ultralytics_refusals(tmp_path):
    with pytest.raises(EveryposeError, match="size"):
        write(UltralyticsWriter(tmp_path, "a"), [FrameResult("a.jpg", people(3, 1))])
    (tmp_path / "b.txt").write_text("0 1 2 3\n")
    with pytest.raises(EveryposeError, match=r"b\.txt: a line does not have 56 numbers"):
        list(read_ultralytics(tmp_path / "b.txt", COCO, width=640, height=480))


def test_a_deeplabcut_table_reads_back(tmp_path):
    path = write(DeepLabCutWriter(tmp_path / "clip.csv"), video())
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["scorer", "individuals", "bodyparts", "coords", "0", "1", "2", "3"]
    assert rows[1][1] == "person1"
    assert {len(row) for row in rows} == {1 + 3 * 17 * 3}
    assert rows[5][1:] == [""] * (3 * 17 * 3)
    read = list(read_deeplabcut(path))
    assert [one.frame for one in read] == [0, 1, 2, 3]
    for one, other in zip(video(), read, strict=True):
        order = np.argsort(one.people.ids)
        np.testing.assert_array_equal(one.people.keypoints[order], other.people.keypoints)
        np.testing.assert_array_equal(one.people.ids[order], other.people.ids)
        assert other.people.skeleton == COCO


def test_a_deeplabcut_table_without_individuals(tmp_path):
    (tmp_path / "one.csv").write_text(
        "scorer,a,a,a,a,a,a\nbodyparts,tip,tip,tip,tail,tail,tail\ncoords,x,y,likelihood,x,y,likelihood\n"
        "0,1,2,0.5,3,4,0.7\n1,,,,,,\n"
    )
    first, second = read_deeplabcut(tmp_path / "one.csv")
    assert first.people[0]["tail"] == pytest.approx((3, 4, 0.7))
    assert len(second.people) == 0


SHORT_ROW = "scorer,a,a,a\nbodyparts,x,x,x\ncoords,x,y,likelihood\n0,1,2,0.9\n1\n"


@pytest.mark.parametrize("content", ["", "a,b\n", "scorer,a\nbodyparts,x\ncoords,y\n0,1\n", SHORT_ROW])
def test_a_csv_that_is_not_deeplabcut(tmp_path, content):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(EveryposeError, match="is not a DeepLabCut table"):
        list(read_deeplabcut(tmp_path / "x.csv"))


def trc_of(path):
    """Header values, marker names and {frame: (time, cells)} of a TRC file, read as its format says."""
    lines = path.read_text().split("\n")
    assert lines[0] == f"PathFileType\t4\t(X/Y/Z)\t{path.name}"
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    markers = lines[3].split("\t")[2::3]
    assert lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"]
    rows = [line.split("\t") for line in lines[6:-1]]
    count = 2 + 3 * len(markers)
    assert all(len(row) == count + (row[-1] == "") for row in rows)
    return header, markers, {int(row[0]): (float(row[1]), row[2:count]) for row in rows}


def even_video(rate=10.0):
    """Person 2 in frames 0, 1, 3; person 5 in all of 0 to 3."""
    return [
        FrameResult("v.mp4", people(f, len(ids), ids=ids), 640, 480, f, f / rate)
        for f, ids in enumerate([[2, 5], [5, 2], [5], [2, 5]])
    ]


def test_trc_files(tmp_path):
    path = write(TrcWriter(tmp_path / "trc", "v"), even_video())
    assert sorted(file.name for file in path.iterdir()) == ["v_person2.trc", "v_person5.trc"]
    header, markers, rows = trc_of(path / "v_person2.trc")
    assert (header["DataRate"], header["NumFrames"], header["NumMarkers"], header["Units"]) == ("10", "4", "17", "px")
    assert markers == list(COCO.keypoints)
    assert rows[3][1] == [""] * 51
    for frame, place in ((0, 0), (1, 1), (3, 0)):
        time, cells = rows[frame + 1]
        assert time == pytest.approx(frame / 10)
        expected = np.insert(even_video()[frame].people.keypoints[place, :, :2], 2, 0, axis=1)
        np.testing.assert_allclose(np.array(cells, float).reshape(17, 3), expected, atol=1e-4)


def test_trc_of_uneven_times_is_interpolated(tmp_path):
    times = np.array([0.0, 0.1, 0.2, 0.5, 0.6])
    speed = np.arange(17)
    results = []
    for frame, time in enumerate(times):
        keypoints = np.zeros((1, 17, 3))
        keypoints[0, :, 0] = speed * time
        keypoints[0, :, 2] = 1
        results.append(FrameResult("v.mp4", People(keypoints, [1.0], COCO, ids=[1]), frame=frame, time=time))
    header, _, rows = trc_of(write(TrcWriter(tmp_path, "v"), results) / "v_person1.trc")
    assert float(header["DataRate"]) == pytest.approx(4 / 0.6, rel=1e-5)
    for time, cells in rows.values():  # motion at constant speed stays so
        np.testing.assert_allclose(np.array(cells, float)[0::3], speed * time, atol=1e-3)


@pytest.mark.parametrize("times", [[0.0, 0.0], [0.0, 0.1, 0.1]], ids=str)
def test_trc_of_frames_of_one_time(tmp_path, times):
    point = Skeleton("point", ("tip",), (), (), None)
    results = [
        FrameResult("c.mp4", People([[[10.0 * frame, 5, 0.9]]], [0.9], point, ids=[1]), frame=frame, time=time)
        for frame, time in enumerate(times)
    ]
    write(TrcWriter(tmp_path, "clip"), results)
    rows = [line.split("\t") for line in (tmp_path / "clip_person1.trc").read_text().splitlines()[6:]]
    assert len(rows) == len(times)
    assert float(rows[-1][2]) == 10 * (len(times) - 1)


def test_a_gap_is_not_interpolated(tmp_path):
    times = [0.0, 0.1, 0.3, 0.4, 0.5]
    ids = [[1], [1], [], [1], [1]]
    results = [FrameResult("v", people(f, len(own), ids=own), frame=f, time=times[f]) for f, own in enumerate(ids)]
    _, _, rows = trc_of(write(TrcWriter(tmp_path, "v"), results) / "v_person1.trc")
    assert any(not any(cells) for _, cells in rows.values())
    assert all(cells[0] for cells in (rows[1][1], rows[5][1]))


@pytest.mark.parametrize("writer", [lambda path: DeepLabCutWriter(path / "x.csv"), lambda path: TrcWriter(path, "x")])
def test_movement_needs_tracked_videos(tmp_path, writer):
    for result, message in ((video(tracked=False)[0], "--track"), (photos()[0], "for videos")):
        empty = writer(tmp_path)
        with pytest.raises(UsageError, match=message):
            empty.add(result)
        empty.close()


def test_formats_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read results from .*x\.txt"):
        read_results(tmp_path / "x.txt")


def test_same_is_strict():
    assert same(video(), [one for one in video() if len(one.people)])
    assert not same_people(people(0, 2), people(1, 2))


OPENPOSE_PERSON = {"pose_keypoints_2d": [1.0, 2.0, 0.5] * 25, "person_id": [1]}


@pytest.mark.parametrize(
    "fields",
    [
        {"person_id": [float("inf")]},
        {"person_id": [10**400]},
        {"person_id": {"a": 1}},
        {"pose_keypoints_2d": [10**400] * 75},
        {"pose_keypoints_2d": [1e300] * 75},
        {"pose_keypoints_2d": {}},
    ],
)
def test_values_that_openpose_does_not_write_are_one_line(tmp_path, fields):
    path = tmp_path / "a_keypoints.json"
    path.write_text(json.dumps({"people": [OPENPOSE_PERSON | fields]}))
    with pytest.raises(EveryposeError) as raised:
        list(read_results(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("time", ["nan", "inf", "-inf"])
def test_a_time_that_is_not_finite_is_refused(tmp_path, time):
    from everypose.inference.results.csv_table import CsvWriter

    path = write(CsvWriter(tmp_path / "r.csv"), video(file="clip.mp4")[:1])
    header, *rows = path.read_text().splitlines(keepends=True)
    column = header.split(",").index("time_s")
    cells = [row.split(",") for row in rows]
    path.write_text(header + "".join(",".join([*row[:column], time, *row[column + 1 :]]) for row in cells))
    with pytest.raises(EveryposeError, match="is not a finite number"):
        list(read_results(path))
    entries = json.loads(write(CocoWriter(tmp_path / "r.json"), video()).read_text())
    entries[0]["time"] = float(time)
    (tmp_path / "r.json").write_text(json.dumps(entries))
    with pytest.raises(EveryposeError, match="is not a number of seconds"):
        list(read_coco_results(tmp_path / "r.json", COCO))


def test_a_damaged_parquet_file_is_one_line(tmp_path):
    pytest.importorskip("pyarrow")
    from everypose.inference.results.parquet_table import ParquetWriter

    whole = write(ParquetWriter(tmp_path / "r.parquet"), video()).read_bytes()
    refused = 0
    for place in range(len(whole) - 1200, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        (tmp_path / "r.parquet").write_bytes(damaged)
        with suppress(EveryposeError):
            list(read_results(tmp_path / "r.parquet"))
            continue
        refused += 1
    assert refused > 100
