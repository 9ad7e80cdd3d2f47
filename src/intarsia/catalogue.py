"""Public datasets that `data fetch` knows: where they are, what they are, under which licence."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """One file to be downloaded.

    Attributes:
        name: its file name.
        urls: where it is to be had; each is tried in turn.
        size: in bytes.
        sha256: of its content, in hexadecimal digits.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A published dataset.

    Attributes:
        title: what it is called.
        homepage: where it is described.
        licence: what may be done with it.
        citation: whom to name.
        archives: what it is made of; unpacked into one folder.
        dataset_file: the text of a dataset.toml, where the files alone do not say everything.
    """

    title: str
    homepage: str
    licence: str
    citation: str
    archives: tuple[Archive, ...]
    dataset_file: str = ""

    @property
    def size(self) -> int:
        """Of all archives, in bytes."""
        return sum(archive.size for archive in self.archives)


# Sizes and sums are those that others published, not taken from a download of ours.
SOURCES = {
    # TensorFlow Datasets, datasets/oxford_iiit_pet/checksums.tsv; the same sums in torchvision,
    # prototype/datasets/_builtin/oxford_iiit_pet.py.
    "oxford-iiit-pet": Source(
        title="The Oxford-IIIT Pet Dataset: cats and dogs, each with its outline",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        licence=(
            "CC BY-SA 4.0; the pictures belong to their owners, and the dataset's README asks to use them for "
            "research only"
        ),
        citation="Parkhi, Vedaldi, Zisserman, Jawahar: Cats and Dogs. CVPR 2012.",
        archives=(
            Archive(
                "images.tar.gz",
                (
                    "https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz",
                    "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
                ),
                791_918_971,
                "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            ),
            Archive(
                "annotations.tar.gz",
                (
                    "https://thor.robots.ox.ac.uk/~vgg/data/pets/annotations.tar.gz",
                    "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
                ),
                19_173_078,
                "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            ),
        ),
        dataset_file="""\
format = "pet"
exclude = [  # pictures that many decoders refuse
    "Abyssinian_34", "Egyptian_Mau_139", "Egyptian_Mau_145", "Egyptian_Mau_167", "Egyptian_Mau_177",
    "Egyptian_Mau_191",
]
""",
    ),
}
