"""The embedded world rendered off screen: images per second, and by which renderer, since EGL may fall back to software."""

import time

from benchmarks.gpu.task import CannotRun, Task


def run(task: Task) -> None:
    """Measure the three cameras of the tabletop.

    Raises:
        CannotRun: no off-screen rendering here.
    """
    from frs_core.errors import WorldError

    try:
        from frs_core.worlds.tabletop.world import TabletopWorld

        world = TabletopWorld()
    except ModuleNotFoundError:
        raise
    except (ImportError, AttributeError, OSError, WorldError) as error:  # what a missing libEGL or driver raises
        raise CannotRun(f"No off-screen rendering through EGL: {error}") from error
    from OpenGL import GL

    try:
        observation = world.observe()
        renderer = (GL.glGetString(GL.GL_RENDERER) or b"unknown").decode()
        task.note("renderer", renderer)
        cameras, rounds = len(observation.frames), 3 if task.is_small else 100
        began = time.perf_counter()
        for _ in range(rounds):
            world.observe()
        seconds = time.perf_counter() - began
    finally:
        world.close()
    size = next(iter(observation.frames.values())).for_policy.shape[:2]
    task.note("images_per_s", cameras * rounds / seconds)
    task.note("ms_per_observation", 1e3 * seconds / rounds)
    task.say(
        f"{cameras * rounds / seconds:.0f} images of {size[1]} x {size[0]} per second, {1e3 * seconds / rounds:.2f} ms for {cameras} cameras, "
        f"{renderer}, n = {rounds}"
    )
    if task.device == "cuda" and any(word in renderer.lower() for word in ("llvmpipe", "softpipe", "swrast")):
        raise CannotRun(
            f"OpenGL through EGL is rendered in software ({renderer}), so this says nothing about the card."
        )
