"""How pictures are dealt among processes."""

from pathlib import Path

from intarsia.pipeline.jobs import Job, chunks_of, portions


def names(chunks: list[list[Job]]) -> list[list[str]]:
    return [[job.path.name for job in chunk] for chunk in chunks]


def test_large_files_are_dealt_alone_and_others_by_eights(tmp_path: Path) -> None:
    jobs = []
    for number in range(20):
        path = tmp_path / f"{number}.tif"
        with path.open("wb") as file:
            file.truncate((5 << 20) if number in (0, 3, 19) else 10)
        jobs.append(Job(Path(path.stem), path))
    jobs.append(Job(Path("film"), tmp_path / "film.mp4"))  # whatever its size
    jobs.append(Job(Path("gone"), tmp_path / "gone.png"))
    assert names(chunks_of(jobs)) == [
        ["0.tif"],
        [f"{number}.tif" for number in (1, 2, 4, 5, 6, 7, 8, 9)],
        ["3.tif"],
        [f"{number}.tif" for number in (10, 11, 12, 13, 14, 15, 16, 17)],
        ["18.tif", "gone.png"],
        ["19.tif"],
        ["film.mp4"],
    ]
    assert chunks_of([]) == []


def test_portions() -> None:
    assert [list(part) for part in portions(range(5), 2)] == [[0, 1], [2, 3], [4]]
