"""Videos: frames in, overlay videos out."""

import os
import sys
from collections import deque
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from intarsia.errors import DataError, MachineError, SettingsError
from intarsia.raster.frames import open_frames
from intarsia.raster.video import Video, VideoWriter
from tests.raster.conftest import numbers


def drawn(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A frame that compresses well: a square that moves over a slope."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    frame = np.stack([columns, rows, (rows + columns) // 2], axis=-1).astype(np.uint8)
    frame[10:26, number % 40 : number % 40 + 16] = (250, 240, 20)
    return frame


def film(path: Path, frames: int = 60, size: tuple[int, int] = (48, 64), rate: Fraction | None = None) -> None:
    """A video of `drawn` frames, as we write it."""
    writer = VideoWriter(path, rate)
    for number in range(frames):
        writer.write(drawn(number, size))
    writer.close()


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (101, 77)])
def test_a_video_of_any_size_comes_back(tmp_path, size):
    film(tmp_path / "a.mp4", 12, size, Fraction(30000, 1001))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    video = open_frames(tmp_path / "a.mp4")
    assert isinstance(video, Video)
    assert (video.rate, video.count) == (Fraction(30000, 1001), 12)
    for number, frame in enumerate(video):
        assert frame.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
        assert frame.dtype == np.uint8
        off = np.abs(frame[: size[0], : size[1]].astype(int) - drawn(number, size))
        assert off.mean() < 6  # lossy, with colours at half the size
    assert number == 11


def test_what_browsers_play(tmp_path):
    import av

    film(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.codec_context.colorspace == 6  # SMPTE 170M
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays before all of it has come


def encoded(path: Path, codec: str, frames: int = 100, turn: int = 0) -> None:
    """A video of another container or codec, of noise, by PyAV."""
    import av

    options = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if turn:
            stream.set_display_rotation(turn)
        for number in range(frames):
            frame = numbers((48, 64, 3), "uint8", number) if not turn else drawn(number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


KINDS = [
    ("a.mp4", "libx264"),
    ("a.mkv", "libx264"),
    ("a.webm", "libvpx-vp9"),
    ("a.avi", "mpeg4"),
    ("a.mov", "mpeg4"),
]


@pytest.mark.parametrize(("name", "codec"), KINDS)
def test_a_broken_tail(tmp_path, name, codec):
    path = tmp_path / name
    encoded(path, codec)
    assert len(list(Video(path))) == 100
    os.truncate(path, path.stat().st_size * 6 // 10)
    frames: list[np.ndarray] = []
    with pytest.raises(DataError, match=rf"{name}: damaged after frame \d+ \(\d\.\d s\): ") as raised:
        frames.extend(Video(path))
    assert 40 < len(frames) < 65
    assert f"after frame {len(frames)} ({len(frames) / 25:.1f} s)" in str(raised.value)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_video_is_turned_upright(tmp_path, turn):
    encoded(tmp_path / "plain.mp4", "libx264", 3)
    encoded(tmp_path / "turned.mp4", "libx264", 3, turn=turn)
    frame = next(iter(Video(tmp_path / "turned.mp4")))
    expected = np.rot90(drawn(0), turn // 90)  # counter-clockwise, as FFmpeg's option has it
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 12


class TestNothingElseIsOpened:
    def test_a_playlist_of_another_name(self, tmp_path):
        film(tmp_path / "secret.mp4", 3)
        (tmp_path / "a.mp4").write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/secret.mp4\n#EXT-X-ENDLIST\n"
        )
        with pytest.raises(DataError, match=r"a\.mp4: is no video"):
            Video(tmp_path / "a.mp4")

    def test_what_is_no_video(self, tmp_path):
        (tmp_path / "a.mp4").write_text("hello")
        with pytest.raises(DataError, match=r"a\.mp4: is no video, or damaged"):
            Video(tmp_path / "a.mp4")
        with pytest.raises(DataError, match=r"gone\.mp4: does not exist"):
            Video(tmp_path / "gone.mp4")


def test_sound_that_goes_on_is_no_damage(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        pictures, sound = container.add_stream("libx264", rate=25), container.add_stream("pcm_s16le", rate=8000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for number in range(25):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(drawn(number), format="rgb24")))
        container.mux(pictures.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 5 * 8000), np.int16), format="s16", layout="mono")
        silence.sample_rate = 8000
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    assert len(list(Video(tmp_path / "a.mkv"))) == 25


def test_sound_alone_is_no_video(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        silence.sample_rate = 8000
        container.mux(sound.encode(silence))
    with pytest.raises(DataError, match=r"a\.mkv: has no pictures, only audio"):
        Video(tmp_path / "a.mkv")


class TestUnfinished:
    def test_the_name_comes_last(self, tmp_path):
        (tmp_path / "a.mp4").write_bytes(b"old")
        writer = VideoWriter(tmp_path / "a.mp4")
        writer.write(drawn(0))
        assert (tmp_path / "a.mp4").read_bytes() == b"old"
        writer.close()
        writer.close()
        writer.discard()
        assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
        assert len(list(Video(tmp_path / "a.mp4"))) == 1

    @pytest.mark.parametrize("frames", [0, 3])
    def test_given_up_nothing_is_left(self, tmp_path, frames):
        writer = VideoWriter(tmp_path / "a.mp4")
        for number in range(frames):
            writer.write(drawn(number))
        writer.discard()
        writer.discard()
        assert not list(tmp_path.iterdir())

    def test_frames_have_one_size(self, tmp_path):
        writer = VideoWriter(tmp_path / "a.mp4")
        writer.write(drawn(0))
        with pytest.raises(AssertionError, match="one size"):
            writer.write(drawn(0, (96, 64)))
        assert not list(tmp_path.iterdir())

    def test_a_full_disk(self, small_disk):
        writer = VideoWriter(small_disk / "a.mp4")
        frames = numbers((300, 240, 320, 3), "uint8")
        with pytest.raises(MachineError, match=r"a\.mp4: cannot be written: the disk is full.*free: [\d,]+ bytes"):
            deque(map(writer.write, frames), maxlen=0)
        assert not list(small_disk.iterdir())

    @pytest.mark.parametrize("fault", ["fsync", "replace"])
    def test_a_fault_at_the_end(self, tmp_path, monkeypatch, fault):
        def fail(*_: object) -> None:
            raise OSError(28, os.strerror(28))

        writer = VideoWriter(tmp_path / "a.mp4")
        writer.write(drawn(0))
        monkeypatch.setattr(*((os, "fsync") if fault == "fsync" else (type(tmp_path), "replace")), fail)
        with pytest.raises(MachineError, match="the disk is full"):
            writer.close()
        assert not list(tmp_path.iterdir())

    def test_where_it_cannot_be(self, tmp_path):
        with pytest.raises(MachineError, match=r"gone/a\.mp4: cannot be written: its folder does not exist"):
            VideoWriter(tmp_path / "gone" / "a.mp4")
        with pytest.raises(SettingsError, match=r"a\.avi: videos are written as \.mp4"):
            VideoWriter(tmp_path / "a.avi")


def test_pyav_is_named_where_it_is_missing(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_text("")
    monkeypatch.setitem(sys.modules, "av", None)
    for begin in (open_frames, VideoWriter):
        with pytest.raises(MachineError, match=r"av is not installed.*'intarsia\[video\]'"):
            begin(tmp_path / "a.mp4")
