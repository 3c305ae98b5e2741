"""People as pictures: skeletons on images, labels, trails, blurred faces, crops and contact sheets."""

from everypose.drawing.colors import HUES
from everypose.drawing.crops import person_crops
from everypose.drawing.draw import draw_people
from everypose.drawing.faces import blur_faces
from everypose.drawing.picture import Drawing, encode
from everypose.drawing.sheet import contact_sheet
from everypose.drawing.style import DrawingStyle
from everypose.drawing.trails import Trails

__all__ = [
    "HUES",
    "Drawing",
    "DrawingStyle",
    "Trails",
    "blur_faces",
    "contact_sheet",
    "draw_people",
    "encode",
    "person_crops",
]
