"""Classes of well-known datasets, and the colours that their masks are drawn in."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from intarsia.labels import Color, Labels

_FEWEST_COLORS = 3  # besides black: fewer say nothing of where they come from
_BLACK = (0, 0, 0)


@dataclass(frozen=True)
class Palette:
    """The classes of a dataset, by colour.

    Attributes:
        name: of the dataset.
        colors: {class name: its colour}, in the order of the class indices.
        void: {name: colour} of what counts for nothing.
    """

    name: str
    colors: Mapping[str, Color]
    void: Mapping[str, Color]

    def labels(self) -> Labels:
        """The classes, for masks in these colours."""
        void = dict.fromkeys(color for color in self.void.values() if color not in self.colors.values())
        return Labels.of_colors(list(self.colors.values()), list(void), list(self.colors))


def find_palette(colors: Collection[Color]) -> Palette | None:
    """The palette that all `colors` belong to, the smallest of several; None where it cannot be told.

    Args:
        colors: distinct ones; at least three of them besides black.
    """
    wanted = {tuple(color) for color in colors}
    if len(wanted - {_BLACK}) < _FEWEST_COLORS:
        return None
    fitting = [
        palette for palette in PALETTES.values() if wanted <= {*palette.colors.values(), *palette.void.values()}
    ]
    return min(fitting, key=lambda palette: len(palette.colors), default=None)


def _voc_colors(names: Iterable[str]) -> dict[str, Color]:
    """The bits of the index, three at a time from the lowest, are the bits of red, green, blue from the highest."""
    colors: dict[str, Color] = {}
    for index, name in enumerate(names):
        red, green, blue = (
            sum((index >> 3 * step + band & 1) << 7 - step for step in range(3)) for band in range(3)
        )
        colors[name] = (red, green, blue)
    return colors


VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

# {name: (the id in `labelIds` masks, colour)}, in the order of the train ids 0 to 18.
_CITYSCAPES: dict[str, tuple[int, Color]] = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}

CITYSCAPES_IDS = {name: stored for name, (stored, _) in _CITYSCAPES.items()}
"""{name: the id in `labelIds` masks} of the 19 classes that are trained; the position is the train id."""

CAMVID_NAMES = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"),
)
"""The 11 classes to which SegNet grouped CamVid's 32, in the order of their values; 11 is void."""

PALETTES = {
    "voc": Palette("Pascal VOC", _voc_colors(VOC_NAMES), {"void": (224, 224, 192)}),
    "cityscapes": Palette(
        "Cityscapes",
        {name: color for name, (_, color) in _CITYSCAPES.items()},
        {
            "unlabeled": _BLACK,
            "dynamic": (111, 74, 0),
            "ground": (81, 0, 81),
            "parking": (250, 170, 160),
            "rail track": (230, 150, 140),
            "guard rail": (180, 165, 180),
            "bridge": (150, 100, 100),
            "tunnel": (150, 120, 90),
            "caravan": (0, 0, 90),
            "trailer": (0, 0, 110),
        },
    ),
    "camvid": Palette(
        "CamVid",
        {
            "Animal": (64, 128, 64),
            "Archway": (192, 0, 128),
            "Bicyclist": (0, 128, 192),
            "Bridge": (0, 128, 64),
            "Building": (128, 0, 0),
            "Car": (64, 0, 128),
            "CartLuggagePram": (64, 0, 192),
            "Child": (192, 128, 64),
            "Column_Pole": (192, 192, 128),
            "Fence": (64, 64, 128),
            "LaneMkgsDriv": (128, 0, 192),
            "LaneMkgsNonDriv": (192, 0, 64),
            "Misc_Text": (128, 128, 64),
            "MotorcycleScooter": (192, 0, 192),
            "OtherMoving": (128, 64, 64),
            "ParkingBlock": (64, 192, 128),
            "Pedestrian": (64, 64, 0),
            "Road": (128, 64, 128),
            "RoadShoulder": (128, 128, 192),
            "Sidewalk": (0, 0, 192),
            "SignSymbol": (192, 128, 128),
            "Sky": (128, 128, 128),
            "SUVPickupTruck": (64, 128, 192),
            "TrafficCone": (0, 0, 64),
            "TrafficLight": (0, 64, 64),
            "Train": (192, 64, 128),
            "Tree": (128, 128, 0),
            "Truck_Bus": (192, 128, 192),
            "Tunnel": (64, 0, 64),
            "VegetationMisc": (192, 192, 0),
            "Wall": (64, 192, 0),
        },
        {"Void": _BLACK},
    ),
}

# The 150 classes of the scene parsing benchmark (values 1 to 150), each by the first of its synonyms.
ADE20K_NAMES = (
    *("wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass"),
    *("cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair"),
    *("car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair"),
    *("seat", "fence", "desk", "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box"),
    *("column", "signboard", "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace"),
    *("refrigerator", "grandstand", "path", "stairs", "runway", "case", "pool table", "pillow"),
    *("screen door", "stairway", "river", "bridge", "bookcase", "blind", "coffee table", "toilet"),
    *("flower", "book", "hill", "bench", "countertop", "stove", "palm", "kitchen island", "computer"),
    *("swivel chair", "boat", "bar", "arcade machine", "hovel", "bus", "towel", "light", "truck", "tower"),
    *("chandelier", "awning", "streetlight", "booth", "television", "airplane", "dirt track", "apparel"),
    *("pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van"),
    *("ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool"),
    *("barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step"),
    *("tank", "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen"),
    *("blanket", "sculpture", "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan", "pier"),
    *("crt screen", "plate", "monitor", "bulletin board", "shower", "radiator", "glass", "clock", "flag"),
)
