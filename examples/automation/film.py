"""A film of a screen with captions, and a short GIF of its best moments.

Problem: twelve minutes of work must be understood in half a minute. Idea: a thread looks at the screen a few times per second and
writes every image with its caption and the keys pressed; marks tell which stretches go into the GIF and how densely.

Example: film.say("Steer with the arrow keys"); film.mark("steer"); …; film.close(); film.gif(path, [("steer", 40)]).
"""

import functools
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from automation.screen import Screen

STRIP = 56
"""Height of the caption under the image, pixels."""
INK, GROUND, CAP = (240, 244, 248), (16, 20, 26), (58, 140, 255)
KEY_NAMES = {
    "forward": "↑",
    "back": "↓",
    "left": "←",
    "right": "→",
    "up": "PgUp",
    "down": "PgDn",
    "unsteered": "Enter",
    "stay/close": "H",
    "stay/open": "J",
}


@dataclass(slots=True)
class _Stretch:
    name: str
    first: int
    last: int = -1
    is_worth: bool = True


@dataclass(slots=True)
class Film:
    """Films a screen until closed.

    Args:
        screen: what to film.
        path: MP4 to write.
        looks: images per second that are taken.
        speed: how much faster the film plays.
    """

    screen: Screen
    path: Path
    looks: float = 4.0
    speed: float = 8.0
    _caption: tuple[str, str, str] = ("", "", "")
    _count: int = 0
    _stretches: list[_Stretch] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    error: Exception | None = None

    def start(self) -> "Film":
        """Begin; returns itself."""
        self._thread = threading.Thread(target=self._run, name="film", daemon=True)
        self._thread.start()
        return self

    def say(self, title: str, text: str = "") -> None:
        """Caption what follows."""
        self._caption = (title, text, "")

    def key(self, label: str, reason: str = "") -> None:
        """Show which key is pressed for a pick."""
        where, amount = (*label.split("/"), "")[:2]
        name = KEY_NAMES.get(label) or KEY_NAMES.get(where, label)
        title, _, _ = self._caption
        self._caption = (title, reason, f"⇧ {name}" if amount == "less" else name)

    def begin(self, name: str) -> None:
        """Begin a stretch that the GIF may show."""
        self._stretches.append(_Stretch(name, self._count))

    def finish(self, *, is_worth: bool = True) -> None:
        """End the stretch; an unworthy one is left out."""
        if self._stretches:
            self._stretches[-1].last, self._stretches[-1].is_worth = self._count, is_worth

    def close(self) -> None:
        """Stop and finish the file; safe to call twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)

    # --- film -------------------------------------------------------------------------------------

    def _run(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with av.open(str(self.path), "w") as file:
                stream = None
                due = time.monotonic()
                while not self._stop.is_set():
                    frame = self._captioned(self.screen.image())
                    if stream is None:
                        stream = file.add_stream("libx264", rate=round(self.looks * self.speed))
                        stream.height, stream.width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
                        stream.pix_fmt = "yuv420p"
                        stream.options = {"preset": "veryfast", "crf": "18", "threads": "1"}
                    file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                    self._count += 1
                    due = max(due + 1.0 / self.looks, time.monotonic())
                    self._stop.wait(due - time.monotonic())
                if stream is not None:
                    file.mux(stream.encode(None))
        except Exception as error:  # The story goes on without a film and says so at its end.
            self.error = error

    def _captioned(self, frame: np.ndarray) -> np.ndarray:
        title, text, key = self._caption
        height, width = frame.shape[:2]
        canvas = Image.new("RGB", (width, height + STRIP), GROUND)
        canvas.paste(Image.fromarray(frame), (0, 0))
        draw, big, small = ImageDraw.Draw(canvas), _font(25, bold=True), _font(22)
        draw.text((18, height + 12), title, font=big, fill=INK)
        x = 34 + draw.textlength(title, font=big)
        if key:
            w = draw.textlength(key, font=big) + 28
            draw.rounded_rectangle((x, height + 7, x + w, height + STRIP - 8), 8, fill=CAP)
            draw.text((x + 14, height + 11), key, font=big, fill=(255, 255, 255))
            x += w + 16
        draw.text((x, height + 14), text, font=small, fill=(176, 188, 200))
        return np.asarray(canvas)

    # --- GIF --------------------------------------------------------------------------------------

    def gif(
        self, path: Path, plan: list[tuple[str, int]], *, width: int = 900, fps: float = 6.0, max_bytes: int = 6_000_000
    ) -> Path:
        """Write the GIF: per name the first worthy stretch, in a given number of images; smaller ones until it fits.

        Args:
            path: to write.
            plan: (name of a stretch, number of images), in order.
            width: pixels.
            fps: images per second.
            max_bytes: of the file.
        """
        wanted: list[int] = []
        for name, count in plan:
            stretch = next((s for s in self._stretches if s.name == name and s.is_worth and s.last > s.first), None)
            if stretch is not None:
                last = min(stretch.last, self._count) - 1
                wanted += [int(i) for i in np.linspace(stretch.first, last, min(count, last - stretch.first + 1))]
        found = self._read(set(wanted), width)
        frames = [found[i] for i in wanted if i in found]
        if not frames:
            raise RuntimeError("The film holds none of the wanted stretches")
        for colours, keep in ((128, 1.0), (64, 1.0), (64, 0.8), (48, 0.65), (32, 0.5), (32, 0.35)):
            _write_gif(path, frames, colours=colours, keep=keep, fps=fps)
            if path.stat().st_size <= max_bytes:
                break
        return path

    def _read(self, wanted: set[int], width: int) -> dict[int, Image.Image]:
        found: dict[int, Image.Image] = {}
        with av.open(str(self.path)) as file:
            for i, frame in enumerate(file.decode(video=0)):
                if i in wanted:
                    image = frame.to_image()
                    found[i] = image.resize(
                        (width, round(image.height * width / image.width)), Image.Resampling.LANCZOS
                    )
        return found


def _write_gif(path: Path, frames: list[Image.Image], *, colours: int, keep: float, fps: float) -> None:
    chosen = [frames[int(i)] for i in np.linspace(0, len(frames) - 1, max(2, round(len(frames) * keep)))]
    # One palette for all, so that what does not change costs nothing.
    sheet = Image.new("RGB", (chosen[0].width, chosen[0].height * 4))
    for i, at in enumerate(np.linspace(0, len(chosen) - 1, 4)):
        sheet.paste(chosen[int(at)], (0, i * chosen[0].height))
    palette = sheet.quantize(colours, method=Image.Quantize.MEDIANCUT)
    quantised = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in _steadied(chosen)]
    durations = [round(1000 / fps / keep)] * len(quantised)
    durations[-1] = 2500
    path.parent.mkdir(parents=True, exist_ok=True)
    quantised[0].save(
        path, save_all=True, append_images=quantised[1:], duration=durations, loop=0, optimize=True, disposal=1
    )


def _steadied(frames: list[Image.Image], tolerance: int = 10) -> list[Image.Image]:
    """Return the frames with pixels that hardly change kept as they were: film noise would cost megabytes."""
    result, last = [], None
    for frame in frames:
        now = np.asarray(frame)
        if last is not None:
            is_same = np.abs(now.astype(np.int16) - last).max(axis=-1, keepdims=True) <= tolerance
            now = np.where(is_same, last.astype(np.uint8), now)
        result.append(Image.fromarray(now))
        last = now.astype(np.int16)
    return result


@functools.lru_cache
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    path = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal"))
    return ImageFont.truetype(path, size)
