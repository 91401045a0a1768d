"""What a photo's id determines: its shape, its colours, its photographer, and its address."""

from random import Random, SystemRandom

# Width and height in pixels: small for a photograph, so that drawing the full size stays cheap.
SHAPES = ((1800, 1200), (1920, 1080), (1600, 1200), (1200, 1800), (1200, 1600), (1400, 1400))
# The colours of the sky, of the horizon and the sun, and of near land.
COLOURS = (
    ("#88c0d0", "#f6f3dc", "#1f4251"),
    ("#20294f", "#c9a3b8", "#12142c"),
    ("#ef8f5c", "#fdeebf", "#4d3325"),
    ("#a9d3c1", "#f8f0c4", "#1f4a3d"),
    ("#e8a0b4", "#fff1e6", "#3a2554"),
    ("#173f4f", "#b9d6b4", "#0b2530"),
)
# Usernames and names. Made up; not all are ASCII or safe in HTML.
PHOTOGRAPHERS = (
    ("sample-ada", "Ada Mockingbird"),
    ("sample-elodie", "Élodie Bac-à-Sable"),
    ("sample-hanako", "見本 花子"),
    ("sample-mau", "Nguyễn Thị Mẫu"),
    ("sample-oisin", "Oisín O'Sample"),
    ("sample-specimen", "Specimen & Daughters"),
)


class Sample:
    """A photo of the sandbox, the same for an id in every process.

    `taken` is in milliseconds since 1970. The first word of `path`, the picture's, is all that tells an Unsplash+ photo.
    """

    def __init__(self, photo_id: str) -> None:
        chance = Random(photo_id)
        self.id = photo_id
        self.width, self.height = chance.choice(SHAPES)
        self.colours = chance.choice(COLOURS)
        self.username, self.name = chance.choice(PHOTOGRAPHERS)
        self.taken = chance.randrange(1_420_070_400_000, 1_704_067_200_000)
        self.is_premium = chance.random() < 2 / 30
        self.path = f"/{'premium_' if self.is_premium else ''}photo-{self.taken}-{photo_id}"
        self.orientation = "squarish" if self.width == self.height else "landscape" if self.width > self.height else "portrait"


def random_id(orientation: str | None = None, source: Random | None = None) -> str:
    """Return the id of a photo of this orientation, of any when None."""
    source = source or SystemRandom()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    while True:
        photo_id = "".join(source.choices(alphabet, k=11))
        if orientation in (None, Sample(photo_id).orientation):
            return photo_id


def drawing(photo_id: str, width: int) -> bytes:
    """Return the photo as a JPEG `width` pixels wide, at most its own width; 0 asks for that."""
    from pipeline.sandbox import drawings  # here: what draws nothing need not load it

    sample = Sample(photo_id)
    return drawings.draw(sample, min(width, sample.width) or sample.width)
