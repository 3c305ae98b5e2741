"""Where the images of annotations are: files below a folder, or members of tars."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from everypose.core.counted import counted
from everypose.data.discovery.annotation_files import contained, image_path, last_part
from everypose.data.image_header import parse_header
from everypose.data.images import decode_image, read_header
from everypose.data.tars import TarMember, list_members
from everypose.errors import EveryposeError


@dataclass(frozen=True)
class ImagePlace:
    """One image.

    Attributes:
        path: its file; of an image in a tar, the tar's path and the member's name, for messages.
        member: its place in a tar; None for a file.

    >>> ImagePlace(Path("photos/a.jpg")).member is None
    True
    """

    path: Path
    member: TarMember | None = None

    def size(self) -> tuple[int, int]:
        """Return width and height of the upright image.

        Raises:
            EveryposeError: if it cannot be read.
        """
        if self.member is None:
            return read_header(self.path).upright
        content, name = self.member.read(), str(self.path)
        header = parse_header(content, name)
        if header is not None:
            return header.upright
        height, width = decode_image(content, name).shape[:2]
        return width, height


class ImagePlaces(Protocol):
    """Finds images by the names that annotations have.

    >>> class Nowhere:
    ...     def find(self, names, where, repairs):
    ...         return [ImagePlace(Path(name)) for name in names]
    >>> places: ImagePlaces = Nowhere()
    >>> places.find(["a.jpg"], Path("gt.json"), Counter())[0].path.name
    'a.jpg'
    """

    def find(self, names: Sequence[str], where: Path, repairs: Counter[str]) -> list[ImagePlace]:
        """Return the place of each image.

        Args:
            names: of the images.
            where: the annotations, for messages.
            repairs: receives how many names were changed.

        Raises:
            EveryposeError: if a name cannot be that of an image here.
        """
        ...


@dataclass(frozen=True)
class ImageFolder:
    """Images below a folder; files that are missing show when they are read.

    Attributes:
        root: the folder.

    >>> from collections import Counter
    >>> [place] = ImageFolder(Path("photos")).find(["a.jpg"], Path("gt.json"), Counter())
    >>> place.path.name
    'a.jpg'
    """

    root: Path

    def find(self, names: Sequence[str], where: Path, repairs: Counter[str]) -> list[ImagePlace]:
        """Return the files: by name as written, or, when the first is not there so, without folders."""
        root = self.root
        first = image_path(root, names[0]) if names else None
        if first is not None and first != root / names[0]:
            last_parts = [last_part(name) for name in names]
            posix = [name.replace("\\", "/") for name in names]
            names = posix if first == root / posix[0] else last_parts
            repairs["file names were taken without their folders"] += len(names) if names is last_parts else 0
        found = []
        for name in names:
            path = contained(root, name)
            if path is None:
                raise EveryposeError(f"{where}: the image name {name!r} leaves the folder of the images, {root}")
            found.append(ImagePlace(path))
        return found


class ImageTars:
    """Images in tars, which are found by reading the headers of all members once.

    Args:
        tars: not compressed.

    Attributes:
        members: all files in the tars, in their order.

    Raises:
        UsageError: if a tar is compressed.
        EveryposeError: if a tar is damaged.

    >>> import tarfile
    >>> _ = Path("a.json").write_text("[]")
    >>> with tarfile.open("set.tar", "w") as tar:
    ...     tar.add("a.json")
    >>> [member.name for member in ImageTars([Path("set.tar")]).members]
    ['a.json']
    """

    def __init__(self, tars: Sequence[Path]) -> None:
        self.members = [member for tar in tars for member in list_members(tar)]

    def find(self, names: Sequence[str], where: Path, repairs: Counter[str]) -> list[ImagePlace]:
        """Return the members: by name as written, or, when the first is not there so, without folders."""
        found = self._by_name({name: name for name in names})
        if names and not found[names[0]]:
            found = self._by_name({name: last_part(name) for name in names})
            repairs["file names were taken without their folders"] += len(names)
        if missing := [name for name in names if not found[name]]:
            number = counted(len(missing), "image")
            raise EveryposeError(f"{where}: {number} are in none of the tars, such as {missing[0]!r}")
        if twice := [name for name in names if len(found[name]) > 1]:
            places = " and ".join(f"{member.tar}/{member.name}" for member in found[twice[0]][:2])
            raise EveryposeError(f"{where}: the image {twice[0]!r} is there twice: {places}")
        return [ImagePlace(found[name][0].tar / found[name][0].name, found[name][0]) for name in names]

    def _by_name(self, wanted: dict[str, str]) -> dict[str, list[TarMember]]:
        """Return the members of each image, by what its name is called in ``wanted``; that may be its last part."""
        are_whole = all(name == part for name, part in wanted.items())
        members: dict[str, list[TarMember]] = {part: [] for part in wanted.values()}
        for member in self.members:
            part = member.name if are_whole else last_part(member.name)
            if part in members:
                members[part].append(member)
        return {name: members[part] for name, part in wanted.items()}
