"""Arrays, geometry, files and progress, for all other packages. Imports numpy and no other package of everypose."""
