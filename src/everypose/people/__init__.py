"""People: the poses of one image, as arrays and person by person, and their conversion to and from other forms."""

from everypose.people.people import People, Person

__all__ = ["People", "Person"]
