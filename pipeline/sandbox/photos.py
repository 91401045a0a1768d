"""What a photo's id determines: its shape, its colours, what it shows, and its address."""

from random import Random, SystemRandom

# Width and height in pixels: small for a photograph, so that drawing the full size stays cheap.
SHAPES = ((1800, 1200), (1920, 1080), (1600, 1200), (1200, 1800), (1200, 1600), (1400, 1400))
RIDGES = ("hills", "peaks", "pines")
# The colours of the sun, the sky, the horizon, and of land far and near.
PALETTES = (
    ("#fff3c4", "#88c0d0", "#e9f3ee", "#6fa3a8", "#1f4251"),
    ("#f6e7c1", "#20294f", "#6d5c95", "#4b4478", "#12142c"),
    ("#ef6f4c", "#f7c873", "#fdeebf", "#d98f4e", "#4d3325"),
    ("#fbe08c", "#a9d3c1", "#f1f4dc", "#6fa585", "#1f4a3d"),
    ("#fffaf0", "#e8a0b4", "#fbe3da", "#a86b95", "#3a2554"),
    ("#f3e3a5", "#173f4f", "#4f9a94", "#2f7175", "#0b2530"),
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
        self.palette = chance.choice(PALETTES)
        self.ridge = chance.choice(RIDGES)
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
    """Return the photo as a JPEG `width` pixels wide, at most its own width; 0 asks for that.

    An id and a width give the same bytes wherever Pillow is the same.
    """
    from pipeline.sandbox import drawings  # here: what draws nothing need not load it

    sample = Sample(photo_id)
    return drawings.draw(sample, min(width, sample.width) or sample.width)
