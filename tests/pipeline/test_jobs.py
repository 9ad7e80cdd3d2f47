"""How pictures are dealt among processes."""

from pathlib import Path

from intarsia.pipeline.jobs import Job, chunks_of, portions


def test_few_pictures_are_dealt_one_by_one_and_many_by_eights() -> None:
    for number, sizes in ((0, []), (1, [1]), (63, [1] * 63), (64, [8] * 8), (70, [8] * 8 + [6])):
        jobs = [Job(Path(str(index)), Path(f"{index}.png")) for index in range(number)]
        chunks = chunks_of(jobs)
        assert [len(chunk) for chunk in chunks] == sizes
        assert [job for chunk in chunks for job in chunk] == jobs


def test_portions() -> None:
    assert [list(part) for part in portions(range(5), 2)] == [[0, 1], [2, 3], [4]]
