"""Videos: frames in, overlay videos out, through FFmpeg as PyAV brings it.

FFmpeg may open far more than a video: a playlist named .mp4 would read other files and the network. Only the
containers of `VIDEO_SUFFIXES` are read, and only from files.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intarsia.data.read import decoding
from intarsia.errors import DataError, SettingsError
from intarsia.extras import needed
from intarsia.files import beside, writing
from intarsia.raster.unfinished import whole_or_nothing

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".avi", ".mov", ".webm"})
_READ_ONLY_THESE = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi", "protocol_whitelist": "file"}
_CODECS = ("libx264", "libopenh264", "mpeg4")  # the first that there is; browsers play the first two
_BT601 = 6  # SMPTE 170M, in FFmpeg's numbers
_MISSING_SECONDS = 1.0  # at the end of a video, from which on it counts as cut


class Video:
    """`Frames` of the first video stream of a file, upright: [H, W, 3] uint8 RGB.

    Attributes:
        path: of the file.
        rate: frames a second, on average; None where the file does not tell.
        count: of the frames, as the file tells; None where it does not.

    Raises:
        DataError: no video, or damaged from the start.
        MachineError: PyAV is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self._av = needed("av", "video")
        self.path = Path(path)
        with decoding(self.path):
            self.path.open("rb").close()  # what is not there is told as everywhere
        with self._opened() as container:
            stream = container.streams.video[0]
            self.rate: Fraction | None = stream.average_rate or stream.guessed_rate
            self.count: int | None = stream.frames or None

    def _opened(self) -> Any:  # noqa: ANN401  of an optional library
        try:
            container = self._av.open(str(self.path.absolute()), options=_READ_ONLY_THESE)
        except (self._av.FFmpegError, OSError) as error:
            raise DataError(
                f"{self.path}: is no video, or damaged at its start or end: {_reason(error)}."
            ) from None
        if not container.streams.video:
            found = ", ".join(stream.type for stream in container.streams)
            container.close()
            raise DataError(f"{self.path}: has no pictures, only {found or 'nothing'}.")
        return container

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The frames in order of time, one at a time in memory; those before a damage come, then it is told.

        Raises:
            DataError: the file is damaged from here on.
        """
        number, end, size = 0, 0.0, None
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            expected = _length(container, stream)
            frames = self._decoded(container, stream)
            while True:
                try:
                    frame = next(frames, None)
                except (self._av.FFmpegError, _Corrupt) as error:
                    raise self._damaged(number, end, _reason(error)) from None
                if frame is None:
                    break
                if size not in (None, (frame.height, frame.width)):
                    raise self._damaged(number, end, f"frames of {frame.height}x{frame.width} begin there")
                number, size = number + 1, (frame.height, frame.width)
                lasts = frame.duration * stream.time_base if frame.duration else 1 / (self.rate or Fraction(25))
                end = float(lasts + (frame.pts * stream.time_base if frame.pts is not None else end))
                yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))
        missing = (expected or 0.0) - end
        if missing > max(_MISSING_SECONDS, 3 / float(self.rate or 25)) or not number:
            raise self._damaged(number, end, f"{missing:.1f} s are missing at the end")

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:  # noqa: ANN401  of an optional library
        """Frames; on damage those that the decoder still holds come first."""
        trouble: Exception | None = None
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise _Corrupt("a packet is not whole")
                yield from _sound(packet.decode())
        except (self._av.FFmpegError, _Corrupt) as error:
            trouble = error
        if trouble is not None:
            with suppress(self._av.FFmpegError, _Corrupt):
                yield from _sound(stream.decode(None))
            raise trouble

    def _damaged(self, number: int, seconds: float, reason: str) -> DataError:
        return DataError(f"{self.path}: damaged after frame {number} ({seconds:.1f} s): {reason}.")


class _Corrupt(Exception):
    """The decoder went on where it should not."""


def _sound(frames: Any) -> Iterator[Any]:  # noqa: ANN401  of an optional library
    for frame in frames:
        if frame.is_corrupt:
            raise _Corrupt("a frame is not whole")
        yield frame


def _length(container: Any, stream: Any) -> float | None:  # noqa: ANN401  of an optional library
    """Seconds from 0 to the end of the pictures, where the file tells."""
    if stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    if len(container.streams) == 1 and container.duration:
        return float(container.duration) / 1e6
    with suppress(ValueError):
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


class VideoWriter:
    """An MP4 of RGB frames, made beside its name and given it when it is finished.

    H.264 in 4:2:0, which browsers play; where a build of FFmpeg has no encoder for it, MPEG-4. Both need even
    sizes: the last row or column is doubled where they are odd.

    Args:
        path: to write, with the suffix .mp4.
        rate: frames a second; None is taken for 25.

    Raises:
        SettingsError: another suffix.
        MachineError: PyAV is not installed, or the file cannot be written.
    """

    def __init__(self, path: str | Path, rate: Fraction | None = None) -> None:
        self._av = needed("av", "video")
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise SettingsError(f"{self.path}: videos are written as .mp4.")
        self._unfinished = beside(self.path)
        self._rate = (rate or Fraction(25)).limit_denominator(60_000)
        self._stream: Any = None
        self._container: Any = None
        with writing(self.path):
            self._unfinished.open("wb").close()
        with self._or_nothing():
            self._container = self._av.open(
                str(self._unfinished.absolute()), "w", format="mp4", options={"movflags": "faststart"}
            )

    def write(self, frame: NDArray[np.uint8]) -> None:
        """The next frame, [H, W, 3] uint8 RGB, all of one size.

        Raises:
            MachineError: the disk is full, or may not be written to.
        """
        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with self._or_nothing():
            if self._stream is None:
                self._begin(*even.shape[:2])
            assert even.shape[:2] == (self._stream.height, self._stream.width), "all frames have one size"
            picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            self._container.mux(self._stream.encode(picture))

    def _begin(self, height: int, width: int) -> None:
        codec = next(name for name in _CODECS if name in self._av.codecs_available)
        options = {"crf": "20", "preset": "veryfast"} if codec == "libx264" else {}
        self._stream = self._container.add_stream(codec, rate=self._rate, options=options)
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        self._stream.codec_context.colorspace = _BT601  # as FFmpeg makes it of RGB; unsaid, large videos look off
        if not options:
            self._stream.bit_rate = max(1_000_000, 4 * height * width)

    def close(self) -> None:
        """Finishes the file and gives it its name; without a frame there is none.

        Raises:
            MachineError: the disk is full, or may not be written to.
        """
        if self._stream is None:
            self.discard()
        if self._container is None:
            return
        with self._or_nothing():
            self._container.mux(self._stream.encode())
            self._container.close()
            with self._unfinished.open("rb+") as file:
                os.fsync(file.fileno())
            self._unfinished.replace(self.path)
            self._container = None

    def discard(self) -> None:
        """Gives up, and leaves nothing behind; without effect after `close`."""
        if self._container is not None:
            with suppress(self._av.FFmpegError, OSError):
                self._container.close()
            self._container = None
            self._unfinished.unlink(missing_ok=True)

    def _or_nothing(self) -> AbstractContextManager[None]:
        return whole_or_nothing(self.path, self.discard)
