"""The cockpit's window: four layouts, the state bar, cards, and the handlers of actions.

Every action is a row of `actions.ACTIONS`; keys, buttons, menus, palette and gamepads all call `run(id)`.
The window holds the robot when it loses the focus, when a layout other than Drive is shown, and when it closes. GUI thread.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app import theme
from app.actions import ACTIONS, DRIVE, cap_of
from app.ahead import Ahead
from app.announcements import Announcements
from app.arming import Arming
from app.black_box import said
from app.boxes import Column, Row
from app.cues import Cue
from app.diagnostics import Diagnostics
from app.display_size import LEAST, DisplaySize, is_tight
from app.display_sizes import DisplaySizes
from app.drive_actions import DriveActions
from app.facts import Facts
from app.failsafes import FailsafeSettings
from app.geometry import GeometryFile
from app.inputs import Inputs
from app.late_pages import LatePages
from app.load import Load, Shed
from app.menus import Menus
from app.pilot import STAY, Pilot
from app.presses import Presses
from app.qt import QtCore, QtGui, QtWidgets, Signal
from app.repaints import Repaints
from app.saved_counts import SavedCounts
from app.scenes import RecordedScenes
from app.second_screen import SecondScreen
from app.settings import SettingsFile
from app.sounds import Sounds
from app.versions import Versions
from app.views.about import show_about
from app.views.cards import Cards
from app.views.drive import DrivePage
from app.views.fan_curves import FanStyle
from app.views.layout_tabs import LAYOUTS, LayoutTabs
from app.views.notices import Notices
from app.views.page import LayoutPage
from app.views.recovery import RecoveryStrip
from app.views.state_bar import StateBar
from app.views.toasts import Banner, Toasts
from app.workers import SessionBridge, later
from frs_core.devices.base import InputDevice
from frs_core.events import EpisodeStatus, HoldReason, Pacing, Phase, SessionCommand, Snapshot
from frs_core.robot.limits import Limits
from frs_core.steering.candidates import LEARNED, UNSTEERED, Candidate
from frs_core.worlds import WorldSpec

if TYPE_CHECKING:
    from app.comparisons import Comparisons
    from app.views.practise.page import PractisePage
    from app.views.review.page import ReviewPage
    from app.views.train.page import TrainPage

_STUCK = "The session does not respond. Your request was lost and the robot holds. Wait a moment and try again."
SAVE_MS = 5000


class CockpitWindow(QtWidgets.QMainWindow):
    """The main window.

    Args:
        bridge: to the session; owned by the window, started by `show_cockpit`.
        facts: of this run.
        settings: the operator's choices.
        devices: polled devices other than the keyboard.
    """

    crashed = Signal(str)
    """An uncaught exception of any thread: a sentence and its details."""

    def __init__(
        self, bridge: SessionBridge, facts: Facts, settings: SettingsFile, *, devices: Sequence[InputDevice] = ()
    ) -> None:
        super().__init__()
        bridge.setParent(self)
        self.bridge, self.facts, self.settings = bridge, facts, settings
        self.snapshot: Snapshot | None = None
        self.comparisons_if_built: Comparisons | None = None
        self.frames_shown = 0
        self._layout, self._started_unix = "drive", time.time()
        self.setWindowTitle("FRS cockpit")
        self.resize(1280, 800)
        self.setMinimumSize(*LEAST)
        self.pilot = Pilot(bridge.send, settings.values)
        self.pilot.setParent(self)
        self.inputs = Inputs(self, overrides=settings.values.input_map, devices=devices)
        self.undo = QtGui.QUndoStack(self)
        self.geometry_file = GeometryFile(self, settings)
        self.diagnostics = Diagnostics(
            self, settings=settings.path, seen=lambda: self.snapshot, say=self.say, report=self.report
        )
        self.arming = Arming(self, facts=facts, port=bridge.port)
        self.failsafes = FailsafeSettings(self, send=bridge.send, settings=settings.values, limits=self._robot_limits)
        self.sounds = Sounds(self, is_on=lambda: settings.values.sounds)
        self._recorded_scenes = RecordedScenes(self)
        self.versions = Versions(
            self,
            facts=facts,
            settings=settings.values,
            send=bridge.send,
            say=self.say,
            is_taken=lambda: facts.blinding.is_on or self.drive_actions.attempts is not None,
            cap=lambda: cap_of("learned.learn_on", self.inputs.map),
        )
        self._saver = QtCore.QTimer(self)
        self._saver.timeout.connect(self._save_if_changed)
        self._build()
        self.saved = SavedCounts(self, facts=facts, drive=self.drive, world=lambda: self._world_spec)
        self.display_sizes = DisplaySizes(self, send=bridge.send, grid=self.drive.cameras)
        self.display_size = DisplaySize(self, settings, use=self._use_scale, say=self.say)
        self.second = SecondScreen(
            self,
            self.drive,
            self.inputs,
            settings=settings,
            places=self.geometry_file,
            cap_of=self.cap_of,
            on_focus=self._check_focus,
            on_size=self.display_sizes.look,
        )
        pages = [lambda: self.review, lambda: self.train, lambda: self.practise]
        self.ahead = Ahead(self, build=pages, seen=lambda: self.snapshot)
        self.announcements = Announcements(
            self,
            facts,
            banner=self.banner,
            notices=self.notices,
            run=self.run,
            say=self.say,
            withdraw=self.toasts.withdraw,
        )
        self.load = Load(self)
        self.load.changed.connect(self._on_shed)
        self.repaints = Repaints(
            self,
            seen=lambda: self.snapshot,
            painted=self.load.painted,
            show_time=self._show_time,
            show_again=self._show_again,
        )
        self._handlers = self._all_handlers()
        bar = self.menuBar()
        assert bar is not None
        self.menus = Menus(bar, self.run)
        self.presses = Presses(
            self,
            bridge=self.bridge,
            inputs=self.inputs,
            pilot=self.pilot,
            cards=self.cards,
            drive_actions=self.drive_actions,
            facts=facts,
            run=self.run,
            say=self.say,
        )
        self._connect()
        self._use_map()
        self._has_place = self.geometry_file.restore_window()
        self.geometry_file.restore_splitters(self.drive)
        self.show_layout("drive")

    # --- building -----------------------------------------------------------------------------------

    def _build(self) -> None:
        body = QtWidgets.QWidget()
        self.setCentralWidget(body)
        self.state = StateBar()
        self.banner = Banner()
        self.pages = QtWidgets.QStackedWidget()
        self.drive = DrivePage(self.run, self.facts, self.cap_of)
        self.late = LatePages(
            run=self.run,
            facts=self.facts,
            undo=self.undo,
            versions=self.versions,
            send=self.bridge.send,
            put_into_fan=self._put_into_fan,
            say=self.say,
            adopt=self._adopt,
        )
        self.pages.addWidget(self.drive)
        top = Row(spacing=0)
        top.addWidget(self.state, 1)
        self.tabs = LayoutTabs(self.run)
        top.addWidget(self.tabs)
        column = Column(body, margins=(0, 0, 0, 0), spacing=0)
        column.addLayout(top)
        column.addWidget(self.banner)
        self.recovery = RecoveryStrip(self.say)
        column.addWidget(self.recovery)
        column.addWidget(self.pages, 1)
        self.toasts, self.notices = Toasts(body, over=self.drive.main), Notices(self)
        self.cards = Cards(
            body, self.run, self.inputs, save_map=self._save_map, on_first_run_read=self._on_first_run_read
        )

    @property
    def review(self) -> "ReviewPage":
        """The Review layout; built when first needed."""
        return self.late.review

    @property
    def train(self) -> "TrainPage":
        """The Train layout; built when first needed."""
        return self.late.train

    @property
    def practise(self) -> "PractisePage":
        """The Practise layout; built when first needed."""
        return self.late.practise

    @property
    def comparisons(self) -> "Comparisons":
        """Blinded comparisons; built when first needed."""
        if self.comparisons_if_built is None:
            from app.comparisons import Comparisons
            from app.views.compare.attempts import BlindAttempts

            attempts = BlindAttempts(self.facts, self.bridge.send, self, take_note=self.drive_actions.take_note)
            attempts.changed.connect(lambda: self._show_comparison(attempts.sentence, attempts.tried))
            self.drive_actions.sources.append(attempts)
            if self.snapshot is not None:
                attempts.take(self.snapshot)
            self.comparisons_if_built = Comparisons(
                self,
                attempts=attempts,
                facts=self.facts,
                undo=self.undo,
                task_now=self._task_now,
                others=self._why_not_compare,
                show_drive=lambda: self.show_layout("drive"),
                say=self.say,
            )
        return self.comparisons_if_built

    def _show_comparison(self, sentence: str, tried: str) -> None:
        if sentence:
            self.pilot.release_all()
        self.drive.show_comparison(sentence, tried)

    def _task_now(self) -> str:
        now = self.snapshot.episode.instruction if self.snapshot is not None else ""
        return self.drive.episode.chosen_task or self.drive.episode.instruction.text().strip() or now

    def _why_not_compare(self) -> str:
        is_taken = self.drive_actions.attempts is not None
        return "A practice wants its attempts driven in Drive; stop it first" if is_taken else ""

    def _page(self, name: str) -> "DrivePage | LayoutPage":
        """Return the page of a layout."""
        return {
            "drive": lambda: self.drive,
            "review": lambda: self.review,
            "train": lambda: self.train,
            "practise": lambda: self.practise,
        }[name]()

    def _adopt(self, page: LayoutPage) -> None:
        review, practise = self.late.review_if_built, self.late.practise_if_built
        if review is not None and page is review:
            review.playing_changed.connect(lambda _on: self._show_state())
        elif practise is not None and page is practise:
            attempts = practise.attempts
            attempts.changed.connect(lambda: self.drive.show_attempt(attempts.sentence, attempts.tried))
            self.drive_actions.sources.append(attempts)
        self.pages.addWidget(page)
        page.use_map(self.inputs.map)
        page.use_theme()
        self.geometry_file.restore_splitters(page)
        if self.snapshot is not None:
            page.show_snapshot(self.snapshot)

    def _run_late(self, action: str) -> None:
        page = self._page(action.partition(".")[0])
        assert not isinstance(page, DrivePage)
        page.handlers[action]()

    def _connect(self) -> None:
        self.bridge.snapshot_arrived.connect(self.take)
        self._recorded_scenes.found.connect(self.drive_actions.go_on_from)
        self.bridge.command_lost.connect(self._on_command_lost)
        self.crashed.connect(self.report)
        self.recovery.settled.connect(self._note_changed_on_disk)
        self.inputs.map_changed.connect(self._use_map)
        self.pilot.highlight_changed.connect(lambda _label: self._restyle())
        self.pilot.choices_changed.connect(self._restyle)
        self.presses.refused.connect(self._on_press_refused)
        self.sounds.cued.connect(lambda _cue: self.state.badge.flash())
        self.drive.candidate_hovered.connect(self.pilot.highlight)
        self.drive.candidate_chosen.connect(self.presses.choose_candidate)
        self.drive.curve_chosen.connect(self.presses.choose_curve)
        self.drive.cameras.primary_changed.connect(self._on_primary_changed)
        # Queued: runs after all views have been painted.
        queued = QtCore.Qt.ConnectionType.QueuedConnection
        self.drive.cameras.painted.connect(self.repaints.on_cameras_painted, queued)  # pyright: ignore[reportCallIssue]

    def _all_handlers(self) -> dict[str, Callable[[], object]]:
        self.drive_actions = DriveActions(
            self.bridge.send,
            pilot=self.pilot,
            page=self.drive,
            settings=self.settings,
            facts=self.facts,
            say=self.say,
            ask=self.arming.ask,
            why_not_start=lambda: self.versions.why_not_start,
        )
        return {
            **self.drive_actions.handlers,
            **self.versions.handlers,
            **{a: (lambda i=a: self._run_late(i)) for a in ACTIONS if a.startswith(("review.", "train.", "practise."))},
            **{a: (lambda i=a: self.comparisons.handlers[i]()) for a in ACTIONS if a.startswith("compare.")},
            **{f"layout.{name}": (lambda n=name: self.show_layout(n)) for name in LAYOUTS},
            "episode.undo_last": lambda: self.review.episodes.bin_last(),
            "episode.keep_unfinished": self.recovery.keep_first,
            "episode.bin_unfinished": self.recovery.bin_first,
            "episode.summary": self._show_summary,
            "edit.undo": self.undo.undo,
            "edit.redo": self.undo.redo,
            "view.theme": self.toggle_theme,
            "view.second_camera": self.second.toggle,
            "view.second_next": self.second.next_camera,
            "view.larger": lambda: self.display_size.step(+1),
            "view.smaller": lambda: self.display_size.step(-1),
            "view.fullscreen": self._toggle_fullscreen,
            "view.reset_layout": self._reset_layout,
            "help.keys": lambda: self.toggle_card("help"),
            "help.palette": lambda: self.toggle_card("palette"),
            "help.first_run": lambda: self.toggle_card("first"),
            "settings.failsafes": lambda: self.failsafes.show(self.snapshot),
            "settings.sounds": self._toggle_sounds,
            "settings.devices": lambda: self.toggle_card("devices"),
            "help.notices": lambda: self.notices.show(self, self.diagnostics.ask),
            "help.diagnostics": self.diagnostics.ask,
            "help.about": lambda: show_about(self, self.facts, getattr(self.bridge.port, "policy_spec", None)),
            "app.quit": self.close,
        }

    # --- actions --------------------------------------------------------------------------------------

    def run(self, action: str) -> None:
        """Run the action with this id; what belongs to Drive is done there, where the robot is seen."""
        if why_not := self.facts.blinding.why_not(action):
            self.say(why_not, "warn")
            return
        if ACTIONS[action].scope == DRIVE and self._layout != "drive":
            self.show_layout("drive")
        self._handlers[action]()

    @property
    def handled(self) -> frozenset[str]:
        """Ids of the actions that have a handler."""
        return frozenset(self._handlers)

    def say(self, text: str, tone: str = "info", action: tuple[str, Callable[[], None]] | None = None) -> None:
        """Show a toast."""
        self._remember(text, tone)
        self.toasts.say(text, tone=tone, action=action)

    def report(self, text: str) -> None:
        """Show an error in the banner."""
        self._remember(text, "bad")
        self.banner.show_error(text)

    def _remember(self, text: str, tone: str) -> None:
        self.notices.add(text, tone)
        said(text, tone)

    def _put_into_fan(self, command: SessionCommand) -> None:
        """Send what Train puts into the fan, unless a practice decides who drives."""
        if self.drive_actions.attempts is not None:
            self.say("The practice in Drive decides what is in the fan; stop it first", "warn")
        else:
            self.versions.note_replaced()
            self.bridge.send(command)

    def _on_press_refused(self, text: str) -> None:
        self.say(text, "warn")
        self.sounds.make(Cue.REFUSED)

    def _toggle_sounds(self) -> None:
        """Hear the cues, or only see them."""
        values = self.settings.values
        values.sounds = not values.sounds
        why_not = f", but cannot be heard: {self.sounds.why_not}" if values.sounds and self.sounds.why_not else ""
        self.say(f"Sounds are {'on' if values.sounds else 'off'}{why_not}", "info")
        if values.sounds:
            self.sounds.make(Cue.READY)

    def _on_command_lost(self, _command: object) -> None:
        self.report(_STUCK)

    def _on_primary_changed(self, name: str) -> None:
        self.pilot.camera = name
        self.settings.values.primary_camera = name
        if self.settings.values.frame == "camera":
            self._restyle()

    # --- display --------------------------------------------------------------------------------------

    def take(self, snapshot: Snapshot) -> None:
        """Show the newest snapshot."""
        if self.comparisons_if_built is not None:
            self.comparisons_if_built.attempts.take(snapshot)
        snapshot = self.facts.blinding.shown(snapshot)
        former, self.snapshot = self.snapshot, snapshot
        self.repaints.note_taken()
        self.pilot.take(snapshot)
        self.inputs.is_moving = snapshot.may_move or snapshot.phase in (Phase.MOVING, Phase.REPLAY)
        self.drive_actions.remember_plan(snapshot.plan)
        # Before what may start the next episode.
        self.versions.follow(former, snapshot)
        self.drive_actions.follow(snapshot)
        self._show_state()
        self.sounds.follow(former, snapshot)
        self.failsafes.follow(snapshot)
        self.arming.follow(snapshot)
        if self.pages.currentWidget() is self.drive:
            self.drive.show_snapshot(snapshot, self.style_now(), self.settings.values)
        else:
            self.drive.show_elsewhere(snapshot, self.style_now())
        for page in self.late:
            page.show_snapshot(snapshot)
        self.frames_shown += snapshot.observation is not None
        self._learn_facts()
        if former is None:
            self._on_first_snapshot()
        self.announcements.follow(former, snapshot)
        self._on_episode(former.episode if former else EpisodeStatus(), snapshot.episode)
        self.saved.follow(former, snapshot)

    def _on_shed(self, shed: Shed) -> None:
        self.display_sizes.use_share(shed.display_share)
        self.drive.use_shed(shed)
        self.state.show_load(self.load.level)
        self._restyle()

    def _show_time(self, snapshot: Snapshot) -> bool:
        """Update what changes between two snapshots; return whether Drive is shown."""
        if self._layout == "drive":
            self._show_state()
            self.drive.show_time(snapshot)
        return self._layout == "drive"

    def _show_again(self, snapshot: Snapshot) -> None:
        """Update image ages."""
        self._show_state()
        if self._layout == "drive":
            self.drive.show_snapshot(snapshot, self.style_now(), self.settings.values)
        else:
            self.drive.show_elsewhere(snapshot, self.style_now())

    def _show_state(self) -> None:
        review = self.late.review_if_built
        if self.snapshot is not None:
            is_playing = review is not None and review.is_playing
            self.state.show_snapshot(self.snapshot, is_replaying=is_playing and self._layout == "review")

    def style_now(self) -> FanStyle:
        """Return how to draw the fan."""
        snapshot, values = self.snapshot, self.settings.values
        return FanStyle(
            amount=self.pilot.amount,
            highlight=self.pilot.highlighted,
            picked=snapshot.picked if snapshot and snapshot.phase is Phase.MOVING else None,
            is_stale=bool(snapshot and (snapshot.is_fan_stale or snapshot.phase is Phase.HOLD)),
            show_other=values.show_other_step,
            show_reference=values.show_reference,
        )

    def cap_of(self, candidate: Candidate) -> str:
        """Return the key cap that picks a candidate."""
        if candidate.label == UNSTEERED:
            return cap_of("pick.unsteered", self.inputs.map)
        if candidate.label == LEARNED:
            return cap_of("pick.learned", self.inputs.map)
        if candidate.command is None:
            return ""
        if candidate.command.direction is None:
            return next((cap_of(a, self.inputs.map) for a, c in STAY.items() if c.label == candidate.label), "")
        return cap_of(self.pilot.action_of(candidate.command.direction), self.inputs.map)

    def _restyle(self) -> None:
        if self.snapshot is not None and self.pages.currentWidget() is self.drive:
            self.drive.restyle(self.snapshot, self.style_now())
            self.drive.steering.show_snapshot(self.snapshot, self.settings.values)

    def _learn_facts(self) -> None:
        """Use the facts of world and policy once they have started."""
        port = self.bridge.port
        if self.facts.learn(getattr(port, "world_spec", None), getattr(port, "policy_spec", None)):
            self.drive.episode.set_tasks(
                self.facts.tasks,
                titles=self.facts.titles,
                new=self.facts.new_tasks,
                chosen=self._first_task(),
            )
            self.drive.steering.set_drivers(self.facts.drivers)
            self.state.use_facts(self.facts)
            self.drive_actions.use_look_ahead()
            self.drive_actions.use_help()
            self._recorded_scenes.look(self.facts.root, self._world_spec)
            self.saved.look()
            for page in self.late:
                page.use_facts()

    def _first_task(self) -> str:
        """Return the task that the world was asked for, or the one chosen last, if the world has it, else the world's example."""
        asked, example = str(self.facts.world_options.get("task", "")), self.facts.example_task
        first = asked or self.settings.values.last_task
        return first if first in self.facts.tasks else example

    @property
    def _world_spec(self) -> WorldSpec | None:
        return getattr(self.bridge.port, "world_spec", None)

    def _robot_limits(self) -> Limits | None:
        return self._world_spec.limits if self._world_spec is not None else None

    def _show_summary(self) -> None:
        """Show what was recorded in this session and before."""
        from app.views.summary import SummaryDialog

        if self.facts.root is None:
            self.say("This run does not record episodes", "warn")
        else:
            SummaryDialog(self, self.facts.root, self._started_unix).open()

    def _on_first_snapshot(self) -> None:
        values, bar = self.settings.values, self.drive.episode
        bar.unrecorded.setChecked(values.unrecorded)
        if values.primary_camera:
            self.drive.cameras.set_primary(values.primary_camera)
        self.pilot.camera = self.drive.cameras.primary
        self.second.restore()
        if values.pacing != (self.snapshot.pacing.value if self.snapshot else ""):
            self.drive_actions.choose_pacing(Pacing(values.pacing))

    def _on_episode(self, former: EpisodeStatus, now: EpisodeStatus) -> None:
        was_open = former.is_recording
        if was_open and not now.is_recording:
            self._note_changed_on_disk()

    def _note_changed_on_disk(self) -> None:
        for page in self.late:
            page.note_changed_on_disk()

    def show_layout(self, name: str) -> None:
        """Show Drive, Review, Train or Practise; leaving Drive holds the robot."""
        page = self._page(name)
        if name != "drive":
            self.drive_actions.hold_because(HoldReason.PAGE_LEFT)
        self.inputs.keyboard.release_all()
        self.inputs.scope = name
        self.pages.setCurrentWidget(page)
        self.tabs.show_layout(name)
        focused = self.focusWidget()
        if focused is not None:
            focused.clearFocus()
        if name == "drive" and self._layout != "drive":
            # Labels may have been changed, episodes binned.
            self.saved.look()
        self._layout = name
        self.display_sizes.set_shown(name == "drive")
        for other in self.late:
            other.set_active(other is page)
        if self.snapshot is not None and name == "drive":
            self.take(self.snapshot)

    @property
    def layout_name(self) -> str:
        """Name of the layout shown."""
        return self._layout

    def toggle_card(self, name: str) -> None:
        """Open or close one card."""
        self.cards.toggle(name, layout=self.layout_name)

    def _on_first_run_read(self) -> None:
        self.settings.values.has_seen_first_run = True
        self.settings.save()
        self.cards.close()

    # --- keys, theme, geometry ----------------------------------------------------------------------------

    def _use_map(self) -> None:
        inputs = self.inputs.map
        self.menus.use_map(inputs)
        drive = self.drive
        for page in (
            drive.steering,
            drive.episode,
            drive.attempt,
            drive.comparison,
            drive.question,
            drive.countdown,
            drive.progress,
            self.tabs,
            *self.late,
        ):
            page.use_map(inputs)
        for clash in inputs.clashes():
            self.report(f"{clash}. Change one of them in Help, Keys and devices.")
        self._restyle()

    def _save_map(self) -> None:
        self.settings.values.input_map = self.inputs.map.overrides()
        self._save_settings()

    def toggle_theme(self) -> None:
        """Switch between dark and light."""
        self.use_theme("light" if theme.current().is_dark else "dark")

    def use_theme(self, name: str, *, scale: float | None = None) -> None:
        """Apply a theme and store it in the settings; another scale than the present one makes everything larger or smaller."""
        app = QtWidgets.QApplication.instance()
        assert isinstance(app, QtWidgets.QApplication)
        theme.apply(app, theme.THEMES[name], scale=scale)
        self.settings.values.theme = name
        for page in self.late:
            page.use_theme()
        self._restyle()

    def _use_scale(self, scale: float) -> None:
        self.use_theme(theme.current().name, scale=scale)

    def _toggle_fullscreen(self) -> None:
        self.showNormal() if self.isFullScreen() else self.showFullScreen()

    def _reset_layout(self) -> None:
        self._page(self._layout).reset_layout()
        self.say("The panes have their first sizes again", "info")

    def _save_settings(self) -> None:
        problem = self.settings.save()
        if problem:
            self.report(problem)

    def _save_if_changed(self) -> None:
        """Save changed settings regularly, so that a crash loses none."""
        problem = self.settings.save_if_changed()
        if problem:
            self._saver.stop()
            self.report(problem)

    # --- start and end ------------------------------------------------------------------------------------

    def show_cockpit(self) -> None:
        """Show the window, subscribe to the session, and show the introduction on the first start."""
        screen = self.screen()
        if not self._has_place and screen is not None and is_tight(self.size(), screen.availableSize()):
            self.showMaximized()
        else:
            self.show()
        self.bridge.start()
        self.inputs.start()
        self._saver.start(SAVE_MS)
        self.repaints.start()
        for text in (*self.settings.warnings, *self.facts.notes):
            self.say(text, "warn")
        if self.facts.root is not None:
            self.recovery.look(self.facts.root)
        if not self.settings.values.has_seen_first_run:
            later(self, 0, self._greet)

    def _greet(self) -> None:
        if self.isVisible() and not self.cards.is_open("first"):
            self.toggle_card("first")

    def changeEvent(self, event: QtCore.QEvent | None) -> None:
        """Hold when another program takes the focus."""
        if event is not None and event.type() == QtCore.QEvent.Type.ActivationChange:
            self._check_focus()
        super().changeEvent(event)

    def _check_focus(self) -> None:
        """Hold unless one of the windows from which the robot is steered has the focus."""
        if not self.inputs.keyboard.is_active:
            self.drive_actions.hold_because(HoldReason.FOCUS_LOST)

    def closeEvent(self, event: QtGui.QCloseEvent | None) -> None:
        """Hold, save, unsubscribe; a step that fails does not prevent the others."""
        with contextlib.ExitStack() as steps:
            # Called in reverse order.
            for step in (
                self.toasts.clear,
                self.recovery.shut,
                self.diagnostics.shut,
                self.sounds.shut,
                self.arming.shut,
                self._recorded_scenes.shut,
                self.versions.shut,
                *(page.shut for page in self.late),
                *((self.comparisons_if_built.shut,) if self.comparisons_if_built is not None else ()),
                self.inputs.stop,
                self.ahead.stop,
                self.second.shut,
                self.display_size.shut,
                self.display_sizes.shut,
                self.bridge.stop,
                self.repaints.stop,
                self._saver.stop,
                self._save_geometry,
                self._save_settings,
                self._hold_at_close,
            ):
                steps.callback(step)
        super().closeEvent(event)

    def _hold_at_close(self) -> None:
        self.drive_actions.hold_because(HoldReason.CLOSING)

    def _save_geometry(self) -> None:
        self.geometry_file.save((self.drive, *self.late))
