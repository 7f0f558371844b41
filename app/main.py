"""Start and end the cockpit. `frs` and `frs cockpit` call `run`.

The session starts first, so that world and policy load while the window is built; the first image follows within seconds.
Without a display the demonstration runs instead. Runs on the main thread.
"""

import inspect
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from typing_extensions import Doc

from app.black_box import BlackBox
from app.blinding import Blinding
from app.crash import CrashGuard
from app.ending import Ending
from app.facts import Facts
from app.gl import pin_platform
from app.redaction import Redaction
from app.settings import SettingsFile
from frs_core import paths, policies, worlds
from frs_core.choosers.base import Chooser
from frs_core.choosers.registry import KNOWN as CHOOSERS
from frs_core.choosers.registry import ChooserOptions, Setting, find_chooser, make_choosers, typed_chooser_options
from frs_core.devices import KNOWN as DEVICES
from frs_core.errors import ConfigError, FrsError, why_left_out
from frs_core.events import Driver, HoldReason, Pacing, RequestHold, Snapshot
from frs_core.policies import NamedPolicy, PolicyOptions, WorldsPolicyName, usual_policy
from frs_core.runtime.folders import recording_root, require_writable
from frs_core.runtime.foreign import visible
from frs_core.runtime.registry import plain_options, require_name
from frs_core.worlds import DEFAULT as DEFAULT_WORLD
from frs_core.worlds import WorldName, WorldOptions

ADVISORS = tuple(row.id for row in CHOOSERS.values() if row.make)
"""The product's own choosers that can suggest: those that are made, which a person is not."""
DEVICES_AFTER_MS = 5000
SHARED = ("world", "world_options", "policy", "policy_options", "action_space")
"""Options that the demonstration has too; without a display, all others are refused."""
_log = logging.getLogger("app")


def run(
    *,
    world: WorldName = DEFAULT_WORLD,
    policy: WorldsPolicyName = None,
    action_space: str = "",
    data: Path | None = None,
    noise_policy: str | None = None,
    script: Path | None = None,
    operator: str = "",
    world_options: WorldOptions = None,
    policy_options: PolicyOptions = None,
    unrecorded: bool = False,
    safe_mode: bool = False,
    reset_settings: bool = False,
    devices: Annotated[bool, Doc(f"Look for devices: {', '.join(DEVICES)}, and those of installed packages.")] = True,
    screenshot: Path | None = None,
    status_file: Path | None = None,
    report_start: Path | None = None,
    vlm: str = "",
    vlm_model: str = "",
    advisor: Annotated[
        str,
        Doc(
            f"Chooser that suggests a pick while you drive: {', '.join(ADVISORS)}, or one of an installed package; key V takes "
            f"the suggestion."
        ),
    ] = "",
    chooser_options: ChooserOptions = None,
) -> int:
    """Open the cockpit; the process ends with it.

    Args:
        world: Name of the robot or simulator.
        policy: Name of the generalist.
        action_space: joint_velocity or joint_position: convert the tool deltas of a generalist to joints.
        data: Folder for recordings and trained policies; default as `frs doctor` says, or FRS_DATA_DIR.
        noise_policy: Folder of a trained noise policy to add to the fan.
        script: TOML file of picks for the scripted driver, instead of the world's own operator.
        operator: Your name, stored with episodes.
        world_options: Options of the world: NAME VALUE ….
        policy_options: Options of the policy: NAME VALUE ….
        unrecorded: Record no episodes until this is switched off.
        safe_mode: Start with default settings and do not change the stored ones.
        reset_settings: Set the stored settings aside and start with the defaults.
        devices: Look for devices other than the keyboard.
        screenshot: Save an image of each layout in this folder, then exit.
        status_file: Append one JSON line for every change of what the window shows, for accessibility tools and scripts.
        report_start: Write to this JSON file when the window, the first image and the first fan were shown; also set by
            FRS_REPORT_START.
        vlm: Address of a vision-language model that can drive, e.g. http://127.0.0.1:8000/v1; also set by
            FRS_VLM_URL. An API key is read from FRS_VLM_KEY.
        vlm_model: Name of the model at that address; also set by FRS_VLM_MODEL.
        advisor: Chooser that suggests a pick while you drive.
        chooser_options: Options of installed choosers: NAME VALUE ….
    Returns:
        The exit status of the demonstration, without a display only. Otherwise the process exits with 0 after the operator
        closed the window, 128 + n after signal n, 3 if the window or the display was lost, 1 after an internal error.
    """
    given = dict(locals())
    started = time.monotonic()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        # Lower levels go to the log file only.
        handler.setLevel(logging.WARNING)
    require_name("world", world, worlds.KNOWN, worlds.GROUP)
    require_name("policy", policy or usual_policy(world), policies.KNOWN, policies.GROUP)
    if not has_display():
        return _run_without_display(given)
    policy = policy or usual_policy(world)
    if screenshot is not None:
        require_writable("--screenshot", screenshot)
    settings = SettingsFile(is_safe=safe_mode)
    if reset_settings:
        settings.reset()
    if unrecorded:
        settings.values.unrecorded = True
    root = recording_root(data, is_made=True)
    sys.stderr.write(visible(f"Recordings go to {root.resolve()}\n"))
    vlm = vlm or os.environ.get("FRS_VLM_URL", "")
    world_arguments = plain_options(world_options)
    generalist = NamedPolicy(policy, plain_options(policy_options), action_space)
    sessions: list[Any] = []
    setting = Setting(
        boundary_state=lambda: sessions[0].boundary_state if sessions else None,
        world_operator=lambda: sessions[0].world_spec.remote_operator if sessions and sessions[0].world_spec else "",
        options={
            **typed_chooser_options(chooser_options),
            "script": script,
            "vlm": vlm,
            "vlm_model": vlm_model or os.environ.get("FRS_VLM_MODEL", ""),
        },
    )
    choosers = make_choosers(setting)
    adviser = choosers.get(find_chooser(advisor).driver) if advisor else None
    if advisor and adviser is None:
        raise ConfigError(
            f"--advisor {advisor} cannot suggest picks. {find_chooser(advisor).why_not or 'Name another chooser'}."
        )
    redact = Redaction(world_arguments, generalist.options, chooser_options or {})
    guard, ending, box = CrashGuard(), Ending(), BlackBox(redact=redact)
    if problem := box.start():
        settings.warnings.append(problem)
    guard.install()
    ending.listen()
    pin_platform()
    facts = Facts(
        world=world,
        policy=policy,
        root=root,
        choosers=choosers,
        generalist=generalist,
    )

    def on_ready(window: Any) -> None:
        file = report_start or os.environ.get("FRS_REPORT_START")
        if file:
            from app.startup import StartReport

            StartReport(window, Path(file), started=started)

    try:
        session = make_session(
            world,
            generalist,
            root=root,
            noise_policy=noise_policy,
            operator=operator,
            world_options=world_arguments,
            pacing=Pacing(settings.values.pacing),
            choosers=choosers,
            advisor=adviser,
        )
        sessions.append(session)
        ending.keep(session)
        session.subscribe(_into(box, session, world_arguments, facts.blinding))
        status = run_window(
            session,
            facts,
            settings,
            guard=guard,
            ending=ending,
            has_devices=devices,
            screenshot=screenshot,
            status_file=status_file,
            on_ready=on_ready,
            redact=redact,
        )
    except FrsError:
        raise
    except ImportError as error:
        raise ConfigError(
            why_left_out(error.name)
            or f"The window cannot be loaded: {error}. `frs doctor` says which packages and libraries are missing."
        ) from error
    except Exception as error:
        guard.report(error)
        status = 1
    finally:
        ending.finish()
        box.close()
        guard.remove()
    return ending.leave(status)


def _into(box: BlackBox, session: Any, given: Mapping[str, Any], blinding: Blinding) -> Callable[[Snapshot], None]:
    """Return what writes a session's snapshots to the log, and the world's options once it has started.

    Args:
        box: the log.
        session: live.
        given: options that the world is made with; those that it does not keep are secrets.
        blinding: hides who drives while a blinded comparison runs.
    """
    is_told = False

    def on_snapshot(snapshot: Snapshot) -> None:
        nonlocal is_told
        if not is_told and (world := session.world_spec) is not None:
            is_told = True
            box.redact.hide(*(value for name, value in given.items() if name not in world.options))
            box.note(f"world {world.name} has started: {dict(world.options) or 'no options'}")
        box.on_snapshot(blinding.shown(snapshot))

    return on_snapshot


def make_session(
    world: str,
    policy: NamedPolicy,
    *,
    root: Path,
    noise_policy: str | None = None,
    operator: str = "",
    world_options: dict[str, Any] | None = None,
    pacing: Pacing = Pacing.GATED,
    choosers: Mapping[Driver, Chooser] | None = None,
    advisor: Chooser | None = None,
) -> Any:
    """Return a live session that records to `root`.

    Args:
        world: registry name; runs in its own process.
        policy: loaded on the inference worker.
        root: recording folder.
        noise_policy: folder of a trained noise policy.
        operator: stored with episodes.
        world_options: of the world.
        pacing: at the start.
        choosers: who picks, beside a person and the learned candidate.
        advisor: suggests a pick while a person drives.
    """
    from frs_core.episodes import EpisodeStore, JournalRecorder
    from frs_core.session import LiveSession, SessionOptions
    from frs_core.worlds.process import WorldProcess

    def make_policy() -> Any:
        # Runs on the inference worker's thread: loading the tensor library takes a second, while the window is built.
        from frs_core.policies.threads import leave_room_for_the_window

        leave_room_for_the_window()
        return policy.load()

    return LiveSession(
        WorldProcess(world, world_options or {}),
        make_policy,
        recorder=JournalRecorder(EpisodeStore(root)),
        choosers=choosers,
        advisor=advisor,
        noise_policy=noise_policy,
        options=SessionOptions(operator=operator, pacing=pacing),
    )


def run_window(
    session: Any,
    facts: Facts,
    settings: SettingsFile,
    *,
    guard: CrashGuard | None = None,
    ending: Ending | None = None,
    has_devices: bool = True,
    screenshot: Path | None = None,
    status_file: Path | None = None,
    on_ready: Callable[[Any], None] | None = None,
    redact: Redaction | None = None,
) -> int:
    """Show the window on a session until it is closed; the caller closes the session.

    Args:
        session: live.
        facts: what is known before world and policy have started.
        settings: the operator's choices.
        guard: reports uncaught exceptions.
        ending: handles signals and a lost window or display.
        has_devices: look for gamepads and SpaceMice.
        screenshot: folder for an image of each layout; the window then closes.
        status_file: receives a JSON line for every change of what is shown.
        on_ready: called with the window once it is shown.
        redact: masks secrets in diagnostics.
    Returns:
        Exit status.
    """
    from app import fonts, theme
    from app.application import make_application
    from app.qt import Qt, QtGui, QtWidgets

    # GL views share their shader programs (pyqtgraph caches them per process).
    QtWidgets.QApplication.setAttribute(Qt.ApplicationAttribute.AA_ShareOpenGLContexts)
    application = make_application()
    application.setApplicationName("frs-cockpit")
    application.setApplicationDisplayName("FRS cockpit")
    application.setDesktopFileName("frs-cockpit")
    application.setWindowIcon(QtGui.QIcon(str(paths.assets() / "icons" / "frs-cockpit.svg")))
    fonts.provide()
    theme.apply(application, theme.THEMES[settings.values.theme])
    from app.sounds import end_threads
    from app.window import CockpitWindow
    from app.window_watch import WindowWatch
    from app.workers import SessionBridge

    window = CockpitWindow(SessionBridge(session), facts, settings)
    window.diagnostics.redact = redact
    if guard is not None:

        def on_crash(sentence: str, details: str) -> None:
            session.send(RequestHold(HoldReason.EXCEPTION, sentence))
            window.crashed.emit(f"{sentence} {details}")

        guard.on_crash = on_crash
    window.show_cockpit()
    _after_first_fan(window, window.sounds.open)
    _after_first_fan(window, window.ahead.start)
    if has_devices:
        _after_first_fan(window, lambda: _add_devices(window))
    if screenshot is not None:
        from app.screenshots import Photographer

        window.photographer = Photographer(window, screenshot)  # pyright: ignore[reportAttributeAccessIssue]
    if status_file is not None:
        from app.status import StatusFile

        StatusFile(window, status_file)
    ending = ending or Ending()
    watch = WindowWatch(window, ending)
    try:
        _after_first_fan(window, ending.arm)
        if on_ready is not None:
            on_ready(window)
        return watch.take_down(application.exec())
    finally:
        end_threads()
        ending.left()


def _after_first_fan(window: Any, call: Callable[[], None]) -> None:
    """Call once the first fan is shown, or after `DEVICES_AFTER_MS`, because loading device libraries blocks the window."""
    from app.qt import QtCore

    timer = QtCore.QTimer(window)
    timer.setSingleShot(True)
    timer.timeout.connect(call)

    def on_snapshot(snapshot: Snapshot) -> None:
        if snapshot.fan is not None:
            window.bridge.snapshot_arrived.disconnect(on_snapshot)
            if timer.isActive():
                timer.start(300)

    window.bridge.snapshot_arrived.connect(on_snapshot)
    timer.start(DEVICES_AFTER_MS)


def _add_devices(window: Any) -> None:
    """Open the device back ends; a missing library is reported, and the cockpit continues."""
    from app.actions import DEVICES

    if not window.isVisible():
        return
    for device in DEVICES:
        try:
            window.inputs.add(device())
        except FrsError as error:
            _log.warning("%s", error)
            window.say(str(error).split(". ")[0], "warn")


def has_display() -> bool:
    """Return whether a window can be opened here."""
    if os.environ.get("QT_QPA_PLATFORM"):
        return True
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _run_without_display(given: Mapping[str, Any]) -> int:
    """Run the demonstration with the options that it shares with the cockpit.

    Args:
        given: all arguments of `run`.
    Raises:
        ConfigError: other options are given.
    """
    parameters = inspect.signature(run).parameters
    unused = [
        _option(name, value)
        for name, value in given.items()
        if name not in SHARED and value != parameters[name].default
    ]
    if unused:
        raise ConfigError(
            f"No display found (DISPLAY and WAYLAND_DISPLAY are empty), and without a window there is no {' and no '.join(unused)}. "
            f"Set DISPLAY, or see `frs demo --help`."
        )
    sys.stderr.write(
        "No display found (DISPLAY and WAYLAND_DISPLAY are empty): running the demonstration without a window.\n"
    )
    try:
        from frs_core.commands.demo import demo
    except ImportError as error:
        raise ConfigError(f"The demonstration cannot be loaded: {error}. Set DISPLAY to open the cockpit.") from error
    return demo(**{name: given[name] for name in SHARED})


def _option(name: str, value: object) -> str:
    """Return an option as it is written on the command line."""
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"
