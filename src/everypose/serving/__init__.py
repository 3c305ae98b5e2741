"""HTTP service: the people of an image, a video or a camera stream, over the network."""
