"""Result files in the programs that they are for: movement, OpenSim and Pose2Sim.

They need packages that everypose does not: `make test-formats` installs them in an environment of their own.
Without them these tests are skipped.
"""

import numpy as np
import pytest

from everypose.inference.results.deeplabcut import DeepLabCutWriter
from everypose.inference.results.openpose import OpenPoseWriter
from everypose.inference.results.trc import TrcWriter
from inference.results.made import COCO, video


def write(writer):
    with writer:
        for result in video():
            writer.add(result)
    return writer.path


def test_movement_reads_deeplabcut_tables(tmp_path):
    load_poses = pytest.importorskip("movement.io.load_poses")
    poses = load_poses.from_dlc_file(write(DeepLabCutWriter(tmp_path / "clip.csv")), fps=30)
    assert poses.keypoints.values.tolist() == list(COCO.keypoints)
    assert poses.individuals.values.tolist() == ["person1", "person3", "person7"]
    for frame, result in enumerate(video()):
        assert int((~np.isnan(poses.position[frame, 0, 0])).sum()) == len(result.people)
        for person in result.people:
            read = poses.sel(individuals=f"person{person.id}").isel(time=frame)
            np.testing.assert_allclose(read.position.values.T, person.keypoints[:, :2], rtol=1e-6)
            np.testing.assert_allclose(read.confidence.values, person.keypoints[:, 2], rtol=1e-6)


def test_opensim_reads_trc_files(tmp_path):
    opensim = pytest.importorskip("opensim")
    table = opensim.TimeSeriesTableVec3(str(write(TrcWriter(tmp_path / "trc", "clip")) / "clip_person1.trc"))
    assert list(table.getColumnLabels()) == list(COCO.keypoints)
    assert table.getTableMetaDataString("Units") == "px"
    assert table.getNumRows() == 4  # frame 1 is empty
    person = video()[0].people[1]
    assert person.id == 1
    for name in COCO.keypoints:
        read = table.getDependentColumn(name)[0]
        np.testing.assert_allclose([read[0], read[1], read[2]], [*person[name][:2], 0], atol=1e-4)


def test_pose2sim_reads_trc_and_openpose_files(tmp_path):
    common = pytest.importorskip("Pose2Sim.common")
    data, _, time, markers, _ = common.read_trc(write(TrcWriter(tmp_path / "trc", "clip")) / "clip_person3.trc")
    assert markers == list(COCO.keypoints)
    assert np.asarray(time) == pytest.approx([0, 2 / 45, 4 / 45, 2 / 15], abs=1e-5)
    np.testing.assert_allclose(data.iloc[0, :2].astype(float), video()[0].people[0]["nose"][:2], atol=1e-4)
    folder = write(OpenPoseWriter(tmp_path / "openpose", "clip"))
    personAssociation = pytest.importorskip("Pose2Sim.personAssociation")  # the module's own name
    read = personAssociation.read_json(str(folder / "clip_000000000003_keypoints.json"))
    assert len(read) == 3
    np.testing.assert_allclose(np.reshape(read[0], (25, 3))[0], video()[3].people[0]["nose"], rtol=1e-6)
