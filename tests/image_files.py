"""Image files that OpenCV cannot write, for tests."""

import base64

# 8 x 8 pixels of C 0, M 153, Y 255, K 51 with Adobe's inverted values, as Photoshop writes them.
CMYK_JPEG = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwACAQEBAQECAQEBAgICAgIEAwICAgIFBAQDBAYFBgYGBQYGBgcJCAYHCQcGBggLCAkKCgoK"
    "CgYICwwLCgwJCgoK/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAkHCv/EABQQAQAAAAAAAAAAAAAA"
    "AAAAAAD/2gAOBEMATQBZAEsAAD8AfxF2f8mD/9k="
)
"""It looks orange: RGB 204, 82, 0."""
