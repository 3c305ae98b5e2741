import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.errors import UsageError
from everypose.inference.inputs import find_images, find_inputs, image_ids, unique_names


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(sources):
    return [source.path.name for source in sources]


def test_a_folder_is_searched_in_sorted_order_with_its_subfolders(tmp_path):
    touch(
        tmp_path / "b.jpg",
        tmp_path / "a.PNG",
        tmp_path / "sub" / "c.jpeg",
        tmp_path / "notes.txt",
        tmp_path / "clip.mp4",
        tmp_path / ".hidden.jpg",
        tmp_path / ".cache" / "d.jpg",
    )
    assert names(find_images([str(tmp_path)])) == ["a.PNG", "b.jpg", "c.jpeg"]


def test_the_output_folder_is_left_out(tmp_path):
    out = tmp_path / "out"
    touch(tmp_path / "a.jpg", out / "pictures" / "a.jpg")
    assert [source.path for source in find_images([str(tmp_path)], skip=out)] == [tmp_path / "a.jpg"]
    assert [source.path for source in find_images([str(tmp_path / "**/*.jpg")], skip=out)] == [tmp_path / "a.jpg"]


def test_an_image_named_twice_is_taken_once_in_the_first_place(tmp_path):
    touch(tmp_path / "a.jpg", tmp_path / "b.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    named = [str(tmp_path / "b.jpg"), str(tmp_path), str(tmp_path / "a.jpg")]
    assert names(find_images(named)) == ["b.jpg", "a.jpg"]


def test_images_come_in_the_order_in_which_they_were_named(tmp_path):
    touch(tmp_path / "z.jpg", tmp_path / "folder" / "m.jpg", tmp_path / "b.jpg")
    named = [str(tmp_path / name) for name in ("z.jpg", "folder", "b.jpg")]
    assert names(find_inputs(named).images) == ["z.jpg", "m.jpg", "b.jpg"]
    listed = [os.fsencode(line) + b"\r\n" for line in ["", *named]]
    assert names(find_inputs(["-"], listed).images) == names(find_images(["-"], listed)) == ["z.jpg", "m.jpg", "b.jpg"]


def test_named_files_are_the_frames_of_one_video(tmp_path):
    touch(tmp_path / "2.jpg", tmp_path / "folder" / "m.jpg", tmp_path / "1.jpg")
    named = [str(tmp_path / name) for name in ("2.jpg", "folder", "1.jpg")]
    found = find_inputs(named, as_video=True)
    assert [(clip.name, [path.name for path in clip.source]) for clip in found.videos] == [
        ("folder", ["m.jpg"]),
        ("frames", ["2.jpg", "1.jpg"]),
    ]


def test_globs_match_files_and_folders(tmp_path):
    touch(tmp_path / "x1.jpg", tmp_path / "x2.jpg", tmp_path / "y.jpg", tmp_path / "xs" / "z.jpg", tmp_path / "x.mp4")
    assert names(find_images([str(tmp_path / "x*")])) == ["x1.jpg", "x2.jpg", "z.jpg"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path):
    touch(tmp_path / "a[1].jpg", tmp_path / "a1.jpg")
    assert names(find_images([str(tmp_path / "a[1].jpg")])) == ["a[1].jpg"]


def test_a_file_with_any_suffix_is_taken_when_it_is_named(tmp_path):
    touch(tmp_path / "photo.dat")
    assert names(find_images([str(tmp_path / "photo.dat")])) == ["photo.dat"]


def test_a_list_stands_where_the_dash_is(tmp_path):
    touch(tmp_path / "a.jpg", tmp_path / "b c.jpg", tmp_path / "d.jpg")
    listed = [bytes(tmp_path / "b c.jpg") + b"\r\n", b"\n", bytes(tmp_path / "a.jpg")]
    assert names(find_images(["-", str(tmp_path / "d.jpg")], listed)) == ["b c.jpg", "a.jpg", "d.jpg"]


def test_names_that_are_not_utf8_work(tmp_path):
    listed = [bytes(tmp_path) + b"/\xff.jpg\n"]
    touch(Path(listed[0].strip().decode(errors="surrogateescape")))
    assert len(find_images(["-"], listed)) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.jpg", "no such file or folder: .*missing.jpg"),
        ("*.jpg", r"no image matches .*\*.jpg"),
        ("empty", "no image in folder .*empty"),
        ("clip.mp4", "clip.mp4 is a video"),
        ("gone.mp4", "no such file or folder: .*gone.mp4"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, source, message):
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "clip.mp4")
    with pytest.raises(UsageError, match=message):
        find_images([str(tmp_path / source)])


def test_a_missing_path_in_a_list_is_named():
    with pytest.raises(UsageError, match=r"no such file or folder: nowhere\.jpg"):
        find_images(["-"], [b"nowhere.jpg\n"])


def test_an_empty_list_is_a_usage_error():
    with pytest.raises(UsageError, match="no image is named"):
        find_images(["-"], [])


@pytest.mark.parametrize(
    ("stems", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
        (["a", "a", "a_2"], ["a", "a_3", "a_2"]),  # a name of a file's own is not taken by another
        (["a", "A"], ["a", "A_2"]),  # one file on some file systems
    ],
)
def test_names_of_outputs(stems, expected):
    paths = [Path(str(number)) / f"{stem}.jpg" for number, stem in enumerate(stems)]
    assert unique_names(paths) == expected


@given(st.lists(st.sampled_from(["a", "A", "a_2", "a_3", "a_2_2", "b"]), max_size=12))
def test_names_of_outputs_never_collide(stems):
    names = unique_names([Path(f"{stem}.png") for stem in stems])
    assert len({name.casefold() for name in names}) == len(stems)


def test_a_very_long_name_leaves_room_for_a_number_and_a_suffix():
    assert len(unique_names([Path("ä" * 125 + ".jpg")])[0].encode()) < 240


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["000000000139.jpg", "COCO_val2014_000000000042.jpg"], [139, 42]),
        (["a.jpg", "7.jpg"], [1, 2]),  # one has no number
        (["a7.jpg", "b07.jpg"], [1, 2]),  # two have the same number
        (["9007199254740993.jpg"], [1]),  # a double cannot hold it
    ],
)
def test_image_ids(files, expected):
    assert image_ids([Path(file) for file in files]) == expected
