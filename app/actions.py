"""Every action of the cockpit, one row each.

Problem: menus, palette, help sheet, tooltips and shortcuts become inconsistent when each is written by hand. Idea: all of them
are made from one table, and a test checks it for conflicting bindings. A control is "key:…" (Qt's portable text) or a device's
"pad:…", "puck:…". The default bindings of a device are defined in its class.

Example: `ACTIONS["drive.hold"].controls` is `("key:Space", "key:Esc", "pad:start", "puck:button_right")`. Holds data only.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from frs_core.choosers.registry import ChooserSpec, choosers
from frs_core.devices import device_classes
from frs_core.devices.intent import ANY_SCOPE, InputMap
from frs_core.runtime.registry import warn_once
from frs_core.steering.directions import Direction

DRIVE, REVIEW, TRAIN, PRACTISE = "drive", "review", "train", "practise"


@dataclass(frozen=True, slots=True)
class Action:
    """One action, and how it is shown."""

    id: str
    text: str
    """Menu text, sentence case."""
    tooltip: str
    """One sentence, no full stop."""
    controls: tuple[str, ...] = ()
    menu: str = "Drive"
    """Its menu, and its section of the help sheet."""
    scope: str = ANY_SCOPE
    """Layout in which its controls work."""
    glyph: str = ""
    """Symbol on buttons and key caps."""
    is_held: bool = False
    """Active while pressed; not shown in menus and palette."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Default keys as portable text."""
        return tuple(c[4:] for c in self.controls if c.startswith("key:"))


def _row(
    id: str,
    text: str,
    *,
    tooltip: str,
    controls: str = "",
    menu: str = "Drive",
    scope: str = ANY_SCOPE,
    glyph: str = "",
    is_held: bool = False,
) -> Action:
    return Action(id, text, tooltip, tuple(controls.split()), menu, scope, glyph, is_held)


def _with_keys(rows: Mapping[str, ChooserSpec]) -> Iterator[ChooserSpec]:
    """Give every chooser without a key of its own the next free one of Alt+1 to Alt+9."""
    taken = {row.key for row in rows.values()}
    free = (key for key in (f"key:Alt+{digit}" for digit in range(1, 10)) if key not in taken)
    for row in rows.values():
        yield row if row.key else dataclasses.replace(row, key=next(free, ""))


STEER: Mapping[str, Direction] = MappingProxyType({f"steer.{d.value}": d for d in Direction})
"""Steering actions and the direction as the operator sees it."""

_ROWS = (
    # --- steering -------------------------------------------------------------------------------
    _row(
        "steer.forward",
        "Forward",
        tooltip="Pick the candidate that goes forward",
        controls="key:Up key:W",
        menu="Steer",
        scope=DRIVE,
        glyph="↑",
    ),
    _row(
        "steer.back",
        "Back",
        tooltip="Pick the candidate that goes back",
        controls="key:Down key:S",
        menu="Steer",
        scope=DRIVE,
        glyph="↓",
    ),
    _row(
        "steer.left",
        "Left",
        tooltip="Pick the candidate that goes left",
        controls="key:Left key:A",
        menu="Steer",
        scope=DRIVE,
        glyph="←",
    ),
    _row(
        "steer.right",
        "Right",
        tooltip="Pick the candidate that goes right",
        controls="key:Right key:D",
        menu="Steer",
        scope=DRIVE,
        glyph="→",
    ),
    _row(
        "steer.up",
        "Up",
        tooltip="Pick the candidate that goes up",
        controls="key:PgUp key:Q",
        menu="Steer",
        scope=DRIVE,
        glyph="⤒",
    ),
    _row(
        "steer.down",
        "Down",
        tooltip="Pick the candidate that goes down",
        controls="key:PgDown key:E",
        menu="Steer",
        scope=DRIVE,
        glyph="⤓",
    ),
    _row(
        "steer.other_step",
        "Other step size while held",
        tooltip="While held, a direction picks the other step size",
        controls="key:Shift",
        menu="Steer",
        scope=DRIVE,
        glyph="⇧",
        is_held=True,
    ),
    _row(
        "pick.unsteered",
        "Unsteered",
        tooltip="Pick what the policy does without steering",
        controls="key:Return key:Enter key:.",
        menu="Steer",
        scope=DRIVE,
        glyph="◇",
    ),
    _row(
        "pick.learned",
        "Learned",
        tooltip="Pick the candidate of the learned noise policy",
        controls="key:L",
        menu="Steer",
        scope=DRIVE,
        glyph="★",
    ),
    _row(
        "pick.suggestion",
        "Suggested",
        tooltip="Pick the suggested candidate",
        controls="key:V",
        menu="Steer",
        scope=DRIVE,
        glyph="✓",
    ),
    _row(
        "gripper.toggle",
        "Gripper",
        tooltip="Request the other gripper state, or leave it to the policy again",
        controls="key:G",
        menu="Steer",
        scope=DRIVE,
        glyph="›‹",
    ),
    _row(
        "pick.stay_close",
        "Close here",
        tooltip="Stay and close the gripper",
        controls="key:H",
        menu="Steer",
        scope=DRIVE,
        glyph="›‹",
    ),
    _row(
        "pick.stay_open",
        "Open here",
        tooltip="Stay and open the gripper",
        controls="key:J",
        menu="Steer",
        scope=DRIVE,
        glyph="‹›",
    ),
    _row(
        "gripper.policy",
        "Leave gripper to policy",
        tooltip="The policy controls the gripper",
        controls="key:Shift+G",
        menu="Steer",
        scope=DRIVE,
    ),
    _row(
        "gripper.open",
        "Open gripper",
        tooltip="Steered candidates open the gripper",
        controls="key:O",
        menu="Steer",
        scope=DRIVE,
    ),
    _row(
        "gripper.close",
        "Close gripper",
        tooltip="Steered candidates close the gripper",
        controls="key:K",
        menu="Steer",
        scope=DRIVE,
    ),
    _row(
        "chunk.back",
        "Back one chunk",
        tooltip="Cancel the waiting pick; else, in simulation, return exactly to the previous chunk boundary",
        controls="key:Backspace",
        menu="Steer",
        scope=DRIVE,
        glyph="⟲",
    ),
    # --- driving --------------------------------------------------------------------------------
    _row(
        "drive.hold",
        "Hold",
        tooltip="Stop motion and keep the arm where it is; software only, not an emergency stop",
        controls="key:Space key:Esc",
        menu="Drive",
        scope=ANY_SCOPE,
        glyph="■",
    ),
    _row(
        "drive.resume",
        "Resume",
        tooltip="End the hold and show a new fan",
        controls="key:C",
        menu="Drive",
        scope=DRIVE,
        glyph="▶",
    ),
    _row(
        "drive.pacing",
        "Gated or continuous",
        tooltip="Gated waits for a pick; continuous follows the held direction",
        controls="key:P",
        menu="Drive",
        scope=DRIVE,
    ),
    _row(
        "drive.unmark",
        "Remove the mark",
        tooltip="Remove the target that was marked",
        controls="key:Shift+M",
        menu="Drive",
        scope=DRIVE,
    ),
    _row(
        "drive.look_ahead",
        "Look one pick ahead",
        tooltip="Accept a press while the robot moves as the next pick; off on a real robot until switched on here",
        controls="key:Shift+P",
        menu="Drive",
        scope=DRIVE,
    ),
    _row(
        "drive.hand_back",
        "Hand back",
        tooltip="Let the learned policy that has asked for help go on by itself",
        controls="key:I",
        menu="Drive",
        scope=DRIVE,
    ),
    _row(
        "drive.help",
        "Ask for help",
        tooltip="Let the learned policy stop and ask for help where it is unsure",
        controls="key:Shift+I",
        menu="Drive",
        scope=DRIVE,
    ),
    _row(
        "drive.frame",
        "Robot or camera frame",
        tooltip="Choose whether left means the robot's left or the camera's",
        controls="key:F",
        menu="Drive",
        scope=DRIVE,
    ),
    *(
        _row(
            f"driver.{row.id}",
            f"{row.title.strip('★ ')} drives",
            tooltip=row.tooltip,
            controls=row.key,
            menu="Drive",
            scope=DRIVE,
            glyph="★" if "★" in row.title else "",
        )
        for row in _with_keys(choosers())
    ),
    _row(
        "knob.step",
        "Step size less or more",
        tooltip="Switch the step size that a direction picks",
        controls="key:Z",
        menu="Settings",
        scope=DRIVE,
    ),
    _row(
        "knob.depth_less",
        "Less reversal depth",
        tooltip="Reverse fewer steps: closer to the request",
        controls="key:[",
        menu="Settings",
        scope=DRIVE,
    ),
    _row(
        "knob.depth_more",
        "More reversal depth",
        tooltip="Reverse more steps: closer to the policy's own behaviour",
        controls="key:]",
        menu="Settings",
        scope=DRIVE,
    ),
    _row(
        "knob.seed",
        "New noise",
        tooltip="Draw new noise for what the command leaves open",
        controls="key:R",
        menu="Settings",
        scope=DRIVE,
        glyph="⚄",
    ),
    _row(
        "knob.plan_default",
        "Calibrated settings",
        tooltip="Return to the steering settings calibrated for this policy",
        controls="key:Shift+R",
        menu="Settings",
        scope=DRIVE,
    ),
    _row(
        "settings.failsafes",
        "Causes of Hold…",
        tooltip="Everything that makes the robot hold, with its limit; some limits can be set",
        controls="key:Ctrl+H",
        menu="Settings",
    ),
    _row(
        "settings.sounds",
        "Sounds",
        tooltip="Switch the sounds on or off; whatever sounds is also shown",
        controls="key:Ctrl+M",
        menu="Settings",
    ),
    _row(
        "world.reconnect",
        "Reconnect",
        tooltip="Start the world and the policy again after a fault",
        controls="key:Ctrl+Shift+R",
        menu="Drive",
        scope=ANY_SCOPE,
        glyph="⟳",
    ),
    # --- episodes -------------------------------------------------------------------------------
    _row(
        "episode.task",
        "Task…",
        tooltip="Choose the task that the next episode starts with",
        controls="key:Ctrl+O",
        menu="Episode",
        scope=DRIVE,
    ),
    _row(
        "episode.scene",
        "Scene…",
        tooltip="Enter the scene number of the next episode",
        controls="key:Ctrl+G",
        menu="Episode",
        scope=DRIVE,
    ),
    _row(
        "episode.start",
        "Start episode",
        tooltip="Reset the world and show the first fan",
        controls="key:N",
        menu="Episode",
        scope=DRIVE,
        glyph="●",
    ),
    _row(
        "episode.success_next",
        "Success, next",
        tooltip="Keep the episode as a success and start the next one; without an open episode, start one",
        controls="key:Y",
        menu="Episode",
        scope=DRIVE,
        glyph="✔",
    ),
    _row(
        "episode.auto_next",
        "Auto-advance",
        tooltip="Simulation only: two seconds after the world reports success, save the episode and start the next one",
        controls="key:Shift+Y",
        menu="Episode",
        scope=DRIVE,
    ),
    _row(
        "episode.stay",
        "Stop the countdown",
        tooltip="Stay in this episode, with the pacing and the driver that there are",
        menu="Episode",
        scope=DRIVE,
    ),
    _row(
        "episode.success",
        "Success",
        tooltip="End the episode and keep it as a success",
        controls="key:Ctrl+Return key:Ctrl+Enter",
        menu="Episode",
        scope=DRIVE,
        glyph="✔",
    ),
    _row(
        "episode.failure",
        "Failure",
        tooltip="End the episode and keep it as a failure",
        controls="key:Ctrl+Backspace",
        menu="Episode",
        scope=DRIVE,
        glyph="✘",
    ),
    _row(
        "episode.discard",
        "Discard",
        tooltip="End the episode and move it to the bin",
        controls="key:Ctrl+Shift+Backspace",
        menu="Episode",
        scope=DRIVE,
        glyph="⊘",
    ),
    _row(
        "episode.note",
        "Note…",
        tooltip="Write a note that is kept with the episode",
        controls="key:T",
        menu="Episode",
        scope=DRIVE,
        glyph="✎",
    ),
    _row(
        "episode.practice",
        "Don't record",
        tooltip="Record no episodes from the next one on",
        controls="key:Ctrl+P",
        menu="Episode",
        scope=DRIVE,
    ),
    _row(
        "episode.summary",
        "Session summary",
        tooltip="Successes, time per episode, corrections and chunks taken back, of this session and of all recordings",
        controls="key:Ctrl+Shift+E",
        menu="Episode",
    ),
    _row(
        "episode.undo_last",
        "Bin the last episode",
        tooltip="Move the last recorded episode to the bin; it can be restored",
        controls="key:Ctrl+D",
        menu="Episode",
        scope=ANY_SCOPE,
    ),
    _row(
        "episode.keep_unfinished",
        "Keep the unfinished episode",
        tooltip="Keep the episode that a crash left unfinished, with its label or as a failure",
        menu="Episode",
    ),
    _row(
        "episode.bin_unfinished",
        "Bin the unfinished episode",
        tooltip="Move the episode that a crash left unfinished to the bin",
        menu="Episode",
    ),
    _row(
        "edit.undo",
        "Undo",
        tooltip="Reverse the last label, note or move to the bin; motion is not reversed",
        controls="key:Ctrl+Z",
        menu="Episode",
    ),
    _row("edit.redo", "Redo", tooltip="Repeat what Undo reversed", controls="key:Ctrl+Shift+Z", menu="Episode"),
    # --- view -----------------------------------------------------------------------------------
    _row("layout.drive", "Drive", tooltip="Cameras, fan and verdicts", controls="key:1", menu="View"),
    _row("layout.review", "Review", tooltip="Recorded episodes", controls="key:2", menu="View"),
    _row("layout.train", "Train", tooltip="Train a noise policy from episodes", controls="key:3", menu="View"),
    _row(
        "layout.practise",
        "Practise",
        tooltip="Let the robot improve by trial and error",
        controls="key:4",
        menu="View",
    ),
    _row(
        "camera.next",
        "Next camera",
        tooltip="Make the next camera the large one",
        controls="key:Tab",
        menu="View",
        scope=DRIVE,
    ),
    _row(
        "camera.enlarge",
        "Enlarge camera",
        tooltip="Show only the large camera, or all cameras again",
        controls="key:M",
        menu="View",
        scope=DRIVE,
    ),
    _row(
        "view.other_step",
        "Show the other step size",
        tooltip="Draw the candidates of the other step size, thin",
        controls="key:X",
        menu="View",
        scope=DRIVE,
    ),
    _row(
        "view.reference",
        "Show the request",
        tooltip="Draw the requested path as a thin dashed line",
        controls="key:B",
        menu="View",
        scope=DRIVE,
    ),
    _row(
        "view.theme",
        "Dark or light",
        tooltip="Switch between the dark and the light theme",
        controls="key:Ctrl+T",
        menu="View",
    ),
    _row(
        "view.second_camera",
        "Camera in its own window",
        tooltip="Show the large camera with its fan in a window of its own, for a second screen, or close that window",
        controls="key:F9",
        menu="View",
    ),
    _row(
        "view.second_next",
        "Next camera in its own window",
        tooltip="Show the next camera in the window of its own",
        controls="key:Shift+F9",
        menu="View",
    ),
    _row(
        "view.larger",
        "Larger display",
        tooltip="Show everything larger, to be read from two metres: sizes S, M and L",
        controls="key:Ctrl+= key:Ctrl++",
        menu="View",
    ),
    _row(
        "view.smaller",
        "Smaller display",
        tooltip="Show everything smaller",
        controls="key:Ctrl+-",
        menu="View",
    ),
    _row(
        "view.fullscreen",
        "Full screen",
        tooltip="Fill the screen, or return to a window",
        controls="key:F11",
        menu="View",
    ),
    _row(
        "view.reset_layout",
        "Reset layout",
        tooltip="Reset the sizes of the panes in this layout",
        controls="key:Ctrl+0",
        menu="View",
    ),
    # --- review ---------------------------------------------------------------------------------
    _row(
        "review.play",
        "Play or pause",
        tooltip="Play the episode, or pause it",
        controls="key:P",
        menu="Review",
        scope=REVIEW,
        glyph="▶",
    ),
    _row(
        "review.frame_back",
        "Frame back",
        tooltip="Go one frame back",
        controls="key:Left",
        menu="Review",
        scope=REVIEW,
        glyph="◂",
    ),
    _row(
        "review.frame_forward",
        "Frame forward",
        tooltip="Go one frame forward",
        controls="key:Right",
        menu="Review",
        scope=REVIEW,
        glyph="▸",
    ),
    _row(
        "review.chunk_back",
        "Chunk back",
        tooltip="Go to the previous chunk boundary",
        controls="key:PgUp key:Ctrl+Left",
        menu="Review",
        scope=REVIEW,
        glyph="|◂",
    ),
    _row(
        "review.chunk_forward",
        "Chunk forward",
        tooltip="Go to the next chunk boundary",
        controls="key:PgDown key:Ctrl+Right",
        menu="Review",
        scope=REVIEW,
        glyph="▸|",
    ),
    _row(
        "review.first",
        "First frame",
        tooltip="Go to the start of the episode",
        controls="key:Home",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.last",
        "Last frame",
        tooltip="Go to the end of the episode",
        controls="key:End",
        menu="Review",
        scope=REVIEW,
    ),
    _row("review.slower", "Slower", tooltip="Halve the playing speed", controls="key:-", menu="Review", scope=REVIEW),
    _row(
        "review.faster",
        "Faster",
        tooltip="Double the playing speed",
        controls="key:= key:+",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.next_episode",
        "Next episode",
        tooltip="Open the next episode of the list",
        controls="key:Down",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.previous_episode",
        "Previous episode",
        tooltip="Open the previous episode of the list",
        controls="key:Up",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.success",
        "Mark as success",
        tooltip="Change the label of the selected episodes to success",
        controls="key:S",
        menu="Review",
        scope=REVIEW,
        glyph="✔",
    ),
    _row(
        "review.failure",
        "Mark as failure",
        tooltip="Change the label of the selected episodes to failure",
        controls="key:F",
        menu="Review",
        scope=REVIEW,
        glyph="✘",
    ),
    _row(
        "review.trim_start",
        "Begin here",
        tooltip="Leave out the chunks before this one; they stay on disk, and Ctrl+Z brings them back",
        controls="key:[",
        menu="Review",
        scope=REVIEW,
        glyph="⟦",
    ),
    _row(
        "review.trim_end",
        "End here",
        tooltip="Leave out the chunks after this one; they stay on disk, and Ctrl+Z brings them back",
        controls="key:]",
        menu="Review",
        scope=REVIEW,
        glyph="⟧",
    ),
    _row(
        "review.untrim",
        "Whole episode",
        tooltip="Bring back the chunks that were left out at the ends",
        controls="key:\\",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.note",
        "Edit note…",
        tooltip="Change the note of the selected episode",
        controls="key:T",
        menu="Review",
        scope=REVIEW,
        glyph="✎",
    ),
    _row(
        "review.bin",
        "Move to bin",
        tooltip="Move the selected episodes to the bin; nothing is deleted",
        controls="key:Del",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.restore",
        "Restore from bin",
        tooltip="Restore the selected episodes from the bin",
        controls="key:Ctrl+Shift+B",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.show_bin",
        "Show the bin",
        tooltip="Show the episodes in the bin, or the others again",
        controls="key:Ctrl+B",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.filter",
        "Filter episodes…",
        tooltip="Show only the episodes that contain these words",
        controls="key:Ctrl+F",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.export",
        "Export…",
        tooltip="Export the selected episodes to another format",
        controls="key:Ctrl+E",
        menu="Review",
        scope=REVIEW,
    ),
    _row(
        "review.refresh",
        "Refresh",
        tooltip="Read the episodes from disk again",
        controls="key:F5",
        menu="Review",
        scope=REVIEW,
        glyph="⟳",
    ),
    # --- train ----------------------------------------------------------------------------------
    _row(
        "train.start",
        "Train",
        tooltip="Train the selected learner on the ticked episodes",
        controls="key:Ctrl+Return",
        menu="Train",
        scope=TRAIN,
        glyph="▶",
    ),
    _row(
        "train.stop",
        "Stop and keep the best",
        tooltip="Stop training and keep the best weights so far",
        controls="key:Ctrl+Backspace",
        menu="Train",
        scope=TRAIN,
        glyph="■",
    ),
    _row(
        "train.use",
        "Use it",
        tooltip="Add the learned candidate to the fan",
        controls="key:U",
        menu="Train",
        scope=TRAIN,
        glyph="★",
    ),
    _row(
        "train.unload",
        "Remove learned candidate",
        tooltip="Remove the learned candidate from the fan",
        controls="key:Shift+U",
        menu="Train",
        scope=TRAIN,
    ),
    _row(
        "train.successes",
        "Choose all successes",
        tooltip="Tick only the successful episodes",
        controls="key:S",
        menu="Train",
        scope=TRAIN,
    ),
    _row(
        "train.evaluate",
        "Compare in simulation",
        tooltip="Run fresh episodes with and without the trained policy",
        controls="key:Ctrl+E",
        menu="Train",
        scope=TRAIN,
    ),
    _row(
        "learned.learn_on",
        "Learn from successes",
        tooltip="Train the next version after each success, in the background; used only if no worse, from the next episode on; off on a real robot until switched on here",
        controls="key:Ctrl+Shift+L",
        menu="Train",
    ),
    _row(
        "learned.back",
        "Back to the version before",
        tooltip="Put the version before into the fan, from the next chunk on; a chunk that moves ends as it was picked",
        controls="key:Ctrl+L",
        menu="Train",
        glyph="⟲",
    ),
    # --- comparisons ----------------------------------------------------------------------------
    _row(
        "compare.new",
        "Blinded comparison…",
        tooltip="Compare two or more policies in attempts whose driver is hidden from you, or continue such a comparison",
        controls="key:Ctrl+Shift+C",
        menu="Train",
    ),
    _row(
        "compare.exclude",
        "Exclude the last attempt…",
        tooltip="Say why the last attempt of the comparison does not count; it is repeated",
        controls="key:Ctrl+Shift+X",
        menu="Train",
    ),
    _row(
        "compare.results",
        "Results of the comparison",
        tooltip="Show what may be known of the comparison, unblind it, or export it",
        controls="key:Ctrl+Shift+T",
        menu="Train",
    ),
    _row(
        "compare.stop",
        "Stop the comparison",
        tooltip="Stop after the attempt in progress; it stays blinded and can continue",
        controls="key:Ctrl+Shift+S",
        menu="Train",
    ),
    # --- practise -------------------------------------------------------------------------------
    _row(
        "practise.start",
        "Practise",
        tooltip="Start a new practice, or continue the one that is selected",
        controls="key:Ctrl+Return",
        menu="Practise",
        scope=PRACTISE,
        glyph="▶",
    ),
    _row(
        "practise.stop",
        "Stop practising",
        tooltip="Stop after the attempt in progress; the best version is kept, and the practice can continue",
        controls="key:Ctrl+Backspace",
        menu="Practise",
        scope=PRACTISE,
        glyph="■",
    ),
    _row(
        "practise.new",
        "New practice",
        tooltip="Set up a new practice",
        controls="key:Ctrl+N",
        menu="Practise",
        scope=PRACTISE,
    ),
    _row(
        "practise.next",
        "Next practice",
        tooltip="Show the next practice of the list",
        controls="key:Down",
        menu="Practise",
        scope=PRACTISE,
    ),
    _row(
        "practise.previous",
        "Previous practice",
        tooltip="Show the previous one",
        controls="key:Up",
        menu="Practise",
        scope=PRACTISE,
    ),
    _row(
        "practise.older",
        "Older version",
        tooltip="Select the version before",
        controls="key:PgDown",
        menu="Practise",
        scope=PRACTISE,
    ),
    _row(
        "practise.newer",
        "Newer version",
        tooltip="Select the version after",
        controls="key:PgUp",
        menu="Practise",
        scope=PRACTISE,
    ),
    _row(
        "practise.use",
        "Use it",
        tooltip="Add the selected version to the fan as the learned candidate",
        controls="key:U",
        menu="Practise",
        scope=PRACTISE,
        glyph="★",
    ),
    _row(
        "practise.back",
        "Go back to it",
        tooltip="Begin a practice that continues from the selected version; this one is unchanged",
        controls="key:B",
        menu="Practise",
        scope=PRACTISE,
        glyph="⟲",
    ),
    _row(
        "practise.unload",
        "Remove learned candidate",
        tooltip="Remove the learned candidate from the fan",
        controls="key:Shift+U",
        menu="Practise",
        scope=PRACTISE,
    ),
    # --- help -----------------------------------------------------------------------------------
    _row("help.keys", "Keys", tooltip="Show the keyboard map", controls="key:F1", menu="Help"),
    _row(
        "help.palette",
        "Command palette…",
        tooltip="Find an action by typing",
        controls="key:Ctrl+K key:Ctrl+Shift+P",
        menu="Help",
    ),
    _row("help.first_run", "First steps", tooltip="Show the introduction again", menu="Help"),
    _row(
        "settings.devices",
        "Keys and devices…",
        tooltip="Change keys and test devices",
        controls="key:Ctrl+,",
        menu="Help",
    ),
    _row(
        "help.notices",
        "Notices",
        tooltip="All messages of this run, newest first",
        controls="key:Ctrl+Shift+N",
        menu="Help",
    ),
    _row(
        "help.diagnostics",
        "Save diagnostics…",
        tooltip="Save log, settings and versions in one zip file",
        menu="Help",
    ),
    _row("help.about", "About", tooltip="Versions, licences and the safety text", menu="Help"),
    _row("app.quit", "Quit", tooltip="Hold, finish writing and close the window", controls="key:Ctrl+Q", menu="Drive"),
)

DEVICES = device_classes()
"""The devices other than the keyboard, in the order of columns."""


def _bound(row: Action) -> Action:
    """Return a row with the default bindings of all devices added after its keys."""
    controls = (c for device in DEVICES for c in device.bindings.get(row.id, ()))
    return dataclasses.replace(row, controls=(*row.controls, *controls))


ACTIONS: Mapping[str, Action] = MappingProxyType({a.id: _bound(a) for a in _ROWS})
for _device in DEVICES:
    for _id in _device.bindings.keys() - ACTIONS.keys():
        warn_once(
            f"Device '{_device.kind}' binds {_device.bindings[_id]} to '{_id}', and no action is called so. Correct its class."
        )
MENUS = ("Drive", "Steer", "Settings", "Episode", "View", "Review", "Train", "Practise", "Help")

KEY_CAPS: Mapping[str, str] = MappingProxyType(
    {
        "Left": "←",
        "Right": "→",
        "Up": "↑",
        "Down": "↓",
        "PgUp": "PgUp",
        "PgDown": "PgDn",
        "Return": "⏎",
        "Enter": "⌤",
        "Backspace": "⌫",
        "Esc": "Esc",
        "Del": "Del",
    }
)


def key_cap(key: str) -> str:
    """Return the text of a key cap for a key's portable text, e.g. 'Ctrl+⏎'."""
    head, plus, last = key.rpartition("+")
    if key in ("+", "") or not last:
        return key
    return f"{head}{plus}{KEY_CAPS.get(last, last)}"


def default_map(overrides: Mapping[str, list[str]] | None = None) -> InputMap:
    """Return the input map of the table, with the operator's own bindings applied."""
    return InputMap(
        {a.id: a.controls for a in ACTIONS.values()},
        scopes={a.id: a.scope for a in ACTIONS.values()},
        overrides=overrides,
    )


def columns_of(controls: Sequence[str], gap: str) -> list[str]:
    """Return controls as text, one column for the keyboard and one for each device."""
    keys = gap.join(key_cap(c[4:]) for c in controls if c.startswith("key:"))
    words = (
        gap.join(c.removeprefix(f"{d.prefix}:").replace("_", " ") for c in controls if c.startswith(f"{d.prefix}:"))
        for d in DEVICES
    )
    return [keys, *words]


def cap_of(action: str, inputs: InputMap) -> str:
    """Return the key cap of an action's first key, or an empty string."""
    for control in inputs.controls(action):
        if control.startswith("key:"):
            return key_cap(control[4:])
    return ""


def tooltip_of(action: str, inputs: InputMap) -> str:
    """Return 'sentence  (keys)' as shown on every button of the action."""
    keys = [key_cap(c[4:]) for c in inputs.controls(action) if c.startswith("key:")]
    row = ACTIONS[action]
    return f"{row.tooltip}  ({' or '.join(keys)})" if keys else row.tooltip
