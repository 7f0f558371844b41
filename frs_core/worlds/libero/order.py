"""In which order the goals of a LIBERO task are to be met, and what must be open before.

LIBERO's task files list goals that must be true together, in no order: "put the bowl in the drawer and close it" has the closing first.
Pure functions; any thread.
"""

from frs_core.worlds.libero.geometry import CLOSE, IN, ON, OPEN, Goal, Scene


def in_order(scene: Scene) -> tuple[Goal, ...]:
    """Return the goals of a task so that none undoes or blocks a later one.

    What is only opened, closed or turned comes first; then things are placed, those first that others are put on; then what they were
    put into is closed. A closed drawer that something goes into is opened before.

    Example: (Close drawer) (In bowl drawer) becomes (Open drawer) (In bowl drawer) (Close drawer).
    """
    placed = [goal for goal in scene.goals if goal.relation in (ON, IN)]
    filled = {goal.place for goal in placed} | {_owner(scene, goal.place) for goal in placed if goal.relation == IN}
    last = [goal for goal in scene.goals if goal.relation == CLOSE and goal.thing in filled]
    first = [goal for goal in scene.goals if goal not in placed and goal not in last]
    opened = {goal.thing for goal in first if goal.relation == OPEN}
    for goal in placed:
        needs = opener(scene, goal)
        if needs and needs.thing not in opened:
            first.append(needs)
            opened.add(needs.thing)
    bases = {goal.place for goal in placed}
    return (*first, *sorted(placed, key=lambda goal: goal.thing not in bases), *last)


def next_goal(scene: Scene, goals: tuple[Goal, ...]) -> Goal | None:
    """Return the first goal that LIBERO does not consider met, or what must be opened for it; None when all are.

    Args:
        scene: at present.
        goals: of the task, in order.
    """
    met = dict(zip(scene.goals, scene.met, strict=True))
    for goal in goals:
        # A goal that the task does not have serves another one: see `opener`.
        if not met.get(goal, True):
            return opener(scene, goal) or goal
    return None


def opener(scene: Scene, goal: Goal) -> Goal | None:
    """Return what must be opened so that a goal can be met; None where nothing is shut."""
    if goal.relation != IN:
        return None
    name = goal.place if scene.joint_of(goal.place) else _owner(scene, goal.place)
    joint = scene.joint_of(name) if name else None
    if joint is None or abs(joint.position) > 0.6 * abs(joint.far):
        return None
    return Goal(OPEN, name)


def _owner(scene: Scene, place: str) -> str:
    region = scene.regions.get(place)
    return region.owner if region else ""
